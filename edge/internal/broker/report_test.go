package broker_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/edge/internal/broker"
	"github.com/wxbroker/wxbroker/edge/internal/brokertest"
	"github.com/wxbroker/wxbroker/pkg/credential"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// reporter answers reports with the versions 1 and 2 once release is closed.
type reporter struct {
	brokertest.Broker
	release chan struct{}
	fails   error // what it answers instead

	mu    sync.Mutex
	calls []*wxbrokerv1.ReportInvalidRequest
	dials int
	away  bool
}

func (b *reporter) report(ctx context.Context, r *wxbrokerv1.ReportInvalidRequest) (credential.Versions, error) {
	b.mu.Lock()
	b.calls = append(b.calls, r)
	b.mu.Unlock()
	select {
	case <-b.release:
		return credential.Versions{Reported: 1, Current: 2}, b.fails
	case <-ctx.Done():
		return credential.Versions{}, ctx.Err()
	}
}

func (b *reporter) seen() (calls, dials int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.calls), b.dials
}

// reporting runs a test with a reporter that holds its answers back, and a client
// of it, in time of their own.
func reporting(t *testing.T, test func(*testing.T, *reporter, *broker.Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &reporter{release: make(chan struct{})}
		b.Report = b.report
		connect := b.Serve(t)
		test(t, b, brokertest.Client(t, func(ctx context.Context) (net.Conn, error) {
			b.mu.Lock()
			away := b.away
			b.dials++
			b.mu.Unlock()
			if away {
				return nil, errors.New("connection refused")
			}
			return connect(ctx)
		}))
	})
}

// outcome is how one report ended, and when.
type outcome struct {
	versions credential.Versions
	code     codes.Code
	after    time.Duration
}

// start reports in the background, and returns once nothing moves any more.
func start(ctx context.Context, c *broker.Client, key string, r broker.Report, n int) <-chan outcome {
	outcomes := make(chan outcome, n)
	began := time.Now()
	for range n {
		go func() {
			versions, err := c.Report(ctx, key, r)
			outcomes <- outcome{versions, status.Code(err), time.Since(began)}
		}()
	}
	synctest.Wait()
	return outcomes
}

func of(value string) broker.Report {
	return broker.Report{AppID: "wx1", Kind: credential.AccessToken, Hash: sha256.Sum256([]byte(value))}
}

var answered = outcome{credential.Versions{Reported: 1, Current: 2}, codes.OK, 0}

func expect(t *testing.T, outcomes <-chan outcome, want outcome) {
	t.Helper()
	for range cap(outcomes) {
		if got := <-outcomes; got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}

// Who asks about the same at the same time shares one call.
func TestSameReportsAreOneCall(t *testing.T) {
	reporting(t, func(t *testing.T, b *reporter, c *broker.Client) {
		first := of("token")
		same := start(t.Context(), c, "a", first, 50)
		byAnother := start(t.Context(), c, "b", first, 50)
		if calls, _ := b.seen(); calls != 1 {
			t.Errorf("%d calls of 100 who ask the same, want one", calls)
		}
		account, kind := first, first
		account.AppID, kind.Kind = "wx2", credential.JSAPITicket
		var others []<-chan outcome
		for i, other := range []broker.Report{account, kind, of("another")} {
			others = append(others, start(t.Context(), c, "a", other, 1))
			if calls, _ := b.seen(); calls != i+2 {
				t.Errorf("%d calls, want %d: something else was asked", calls, i+2)
			}
		}
		close(b.release)
		expect(t, same, answered)
		expect(t, byAnother, answered)
		for _, other := range others {
			expect(t, other, answered)
		}
		expect(t, start(t.Context(), c, "a", first, 1), answered)
		if calls, _ := b.seen(); calls != 5 {
			t.Errorf("%d calls, want 5: an answer is not kept", calls)
		}
		asked := b.calls[0]
		if asked.GetAppid() != "wx1" || asked.GetKind() != wxbrokerv1.CredentialKind_CREDENTIAL_KIND_ACCESS_TOKEN || [32]byte(asked.GetValueSha256()) != first.Hash {
			t.Errorf("asked %v", asked)
		}
	})
}

// A caller that leaves goes at once, and fails nobody: not even where its call
// is the one that all wait for.
func TestLeavingFailsNobody(t *testing.T) {
	reporting(t, func(t *testing.T, b *reporter, c *broker.Client) {
		ctx, leave := context.WithCancel(t.Context())
		leaving := start(ctx, c, "a", of("token"), 1)
		staying := start(t.Context(), c, "a", of("token"), 3)
		leave()
		expect(t, leaving, outcome{code: codes.Canceled})
		synctest.Wait()
		close(b.release)
		expect(t, staying, answered)
		if calls, _ := b.seen(); calls != 1 {
			t.Errorf("%d calls, want one", calls)
		}
	})
}

func TestCallIsBounded(t *testing.T) {
	reporting(t, func(t *testing.T, _ *reporter, c *broker.Client) {
		expect(t, start(t.Context(), c, "a", of("token"), 2), outcome{code: codes.DeadlineExceeded, after: 15 * time.Second})
	})
}

// 200 at once and 20 a second, for each key, however few calls they become.
func TestLimitOfEachKey(t *testing.T) {
	reporting(t, func(t *testing.T, b *reporter, c *broker.Client) {
		close(b.release)
		tooMany := outcome{code: codes.ResourceExhausted}
		expect(t, start(t.Context(), c, "a", of("token"), 200), answered)
		before, _ := b.seen()
		expect(t, start(t.Context(), c, "a", of("token"), 5), tooMany)
		expect(t, start(t.Context(), c, "a", of("another"), 1), tooMany)
		if calls, _ := b.seen(); calls != before {
			t.Error("the reporter was asked for one who asks too often")
		}
		expect(t, start(t.Context(), c, "b", of("token"), 200), answered)
		time.Sleep(time.Second)
		expect(t, start(t.Context(), c, "a", of("token"), 20), answered)
		expect(t, start(t.Context(), c, "a", of("token"), 1), tooMany)
	})
}

func TestBrokerRefuses(t *testing.T) {
	reporting(t, func(t *testing.T, b *reporter, c *broker.Client) {
		b.fails = status.Error(codes.NotFound, "no such value")
		close(b.release)
		_, err := c.Report(t.Context(), "a", of("token"))
		if s := status.Convert(err); s.Code() != codes.NotFound || s.Message() != "no such value" {
			t.Errorf("got %v", err)
		}
	})
}

// Nothing connects before the first broker. While the reporter is away reports
// fail at once, and soon after its return they do not.
func TestBrokerIsAway(t *testing.T) {
	reporting(t, func(t *testing.T, b *reporter, c *broker.Client) {
		b.away = true
		close(b.release)
		time.Sleep(time.Minute)
		if _, dials := b.seen(); dials != 0 {
			t.Errorf("%d connections without a report", dials)
		}
		for range 60 {
			expect(t, start(t.Context(), c, "a", of("token"), 1), outcome{code: codes.Unavailable})
			time.Sleep(time.Second)
		}
		b.mu.Lock()
		b.away = false
		b.mu.Unlock()
		time.Sleep(7 * time.Second) // 5 s, and gRPC's jitter
		expect(t, start(t.Context(), c, "a", of("token"), 1), answered)
	})
}

func TestCloseEndsWhatIsUnderWay(t *testing.T) {
	reporting(t, func(t *testing.T, _ *reporter, c *broker.Client) {
		waiting := start(t.Context(), c, "a", of("token"), 2)
		c.Close()
		expect(t, waiting, outcome{code: codes.Canceled})
		expect(t, start(t.Context(), c, "a", of("token"), 1), outcome{code: codes.Canceled})
	})
}

// The reporter hears which local key a call was made with, by a name that a
// header can have.
func TestLocalKeyIsNamed(t *testing.T) {
	reporting(t, func(t *testing.T, b *reporter, c *broker.Client) {
		close(b.release)
		names := []string{"billing", "team/web:2", "店铺", `quo"te`, `"quoted"`, strings.Repeat("é", 32)}
		for _, name := range names {
			if _, err := c.Report(t.Context(), name, of("token")); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		want := []string{"billing", "team/web:2", `\u5e97\u94fa`, `quo\"te`, `\"quoted\"`, strings.Repeat(`\u00e9`, 32)}
		if got := b.Keys(); !slices.Equal(got, want) {
			t.Errorf("heard %q, want %q", got, want)
		}
	})
}
