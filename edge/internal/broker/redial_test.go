package broker

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/pkg/grpctest"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// forgetful is a broker that knows nobody any more on connections that are old
// enough: the certificate which was presented on them has expired.
type forgetful struct {
	wxbrokerv1.UnimplementedCredentialServiceServer
	good  time.Duration // for how long it knows who is on a connection
	hold  chan struct{} // if set, a call on the first connection waits for it
	calls atomic.Int64
	opens atomic.Int64
	open  atomic.Int64
}

// life is how long, in most tests: gRPC closes what is idle for half an hour.
const life = 20 * time.Minute

type connection struct {
	number int64
	opened time.Time
}

func (*forgetful) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }
func (*forgetful) HandleRPC(context.Context, stats.RPCStats)                       {}

func (f *forgetful) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context {
	return context.WithValue(ctx, f, connection{f.opens.Add(1), time.Now()})
}

func (f *forgetful) HandleConn(_ context.Context, s stats.ConnStats) {
	switch s.(type) {
	case *stats.ConnBegin:
		f.open.Add(1)
	case *stats.ConnEnd:
		f.open.Add(-1)
	}
}

func (f *forgetful) ReportInvalid(ctx context.Context, r *wxbrokerv1.ReportInvalidRequest) (*wxbrokerv1.ReportInvalidResponse, error) {
	f.calls.Add(1)
	on, _ := ctx.Value(f).(connection)
	if time.Since(on.opened) >= f.good {
		return nil, status.Error(codes.Unauthenticated, "the certificate has expired")
	}
	if on.number == 1 && r.GetAppid() == "held" {
		select {
		case <-f.hold:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return &wxbrokerv1.ReportInvalidResponse{}, nil
}

func withForgetful(t *testing.T, good time.Duration, test func(*testing.T, *forgetful, *redialingConn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := &forgetful{good: good, hold: make(chan struct{})}
		server := grpc.NewServer(grpc.StatsHandler(f))
		wxbrokerv1.RegisterCredentialServiceServer(server, f)
		dial := grpctest.Serve(t, server)
		l, err := newRedialingConn("v1.2.3", func() (*grpc.ClientConn, error) {
			return grpc.NewClient("passthrough:///broker", grpc.WithTransportCredentials(insecure.NewCredentials()), grpctest.Over(dial))
		})
		if err != nil {
			t.Fatal(err)
		}
		defer l.close()
		test(t, f, l)
	})
}

// outcome is how one call ended, and when.
type outcome struct {
	code  codes.Code
	after time.Duration
}

// start makes calls in the background, and returns once nothing moves any more.
func start(t *testing.T, l *redialingConn, what string, n int) <-chan outcome {
	t.Helper()
	outcomes := make(chan outcome, n)
	began := time.Now()
	for range n {
		go func() {
			err := l.use(func(conn *grpc.ClientConn) error {
				_, err := wxbrokerv1.NewCredentialServiceClient(conn).ReportInvalid(t.Context(), &wxbrokerv1.ReportInvalidRequest{Appid: what})
				return err
			})
			outcomes <- outcome{status.Code(err), time.Since(began)}
		}()
	}
	synctest.Wait()
	return outcomes
}

func expect(t *testing.T, outcomes <-chan outcome, want outcome) {
	t.Helper()
	for range cap(outcomes) {
		if got := <-outcomes; got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}

var answered = outcome{code: codes.OK}

// counts checks how many calls, connections and open connections there are.
func (f *forgetful) counts(t *testing.T, calls, opens, open int64) {
	t.Helper()
	synctest.Wait()
	if got, want := [3]int64{f.calls.Load(), f.opens.Load(), f.open.Load()}, [3]int64{calls, opens, open}; got != want {
		t.Errorf("calls, connections and open ones are %v, want %v", got, want)
	}
}

// A call gets through whatever has become of the certificate that its
// connection was opened with, and what is under way there is not cut off.
func TestConnectionsOutliveTheirCertificate(t *testing.T) {
	withForgetful(t, life, func(t *testing.T, f *forgetful, l *redialingConn) {
		expect(t, start(t, l, "", 1), answered)
		f.counts(t, 1, 1, 1)
		time.Sleep(life - 5*time.Second)
		waiting := start(t, l, "held", 1)
		time.Sleep(5 * time.Second)
		expect(t, start(t, l, "", 2), answered)
		f.counts(t, 6, 2, 2)
		close(f.hold)
		expect(t, waiting, outcome{codes.OK, 5 * time.Second})
		f.counts(t, 6, 2, 1) // the first is closed
		time.Sleep(life)
		expect(t, start(t, l, "", 1), answered)
		f.counts(t, 8, 3, 1)
	})
}

// Those who are refused on one connection at the same time open one other.
func TestTogetherOnANewConnection(t *testing.T) {
	withForgetful(t, life, func(t *testing.T, f *forgetful, l *redialingConn) {
		expect(t, start(t, l, "", 1), answered)
		time.Sleep(life)
		expect(t, start(t, l, "", 20), answered)
		synctest.Wait()
		if opens, open := f.opens.Load(), f.open.Load(); opens != 2 || open != 1 {
			t.Errorf("%d connections, %d open", opens, open)
		}
	})
}

// Whom the broker does not know at all is told so, and does not connect for
// every call.
func TestUnknownForGood(t *testing.T) {
	withForgetful(t, 0, func(t *testing.T, f *forgetful, l *redialingConn) {
		time.Sleep(time.Minute)
		for range 20 { // in one second
			expect(t, start(t, l, "", 1), outcome{code: codes.Unauthenticated})
			time.Sleep(50 * time.Millisecond)
		}
		f.counts(t, 21, 2, 1)
	})
}

// What is under way on a connection that was replaced ends when all are closed.
func TestCloseEndsReplacedConnections(t *testing.T) {
	withForgetful(t, life, func(t *testing.T, f *forgetful, l *redialingConn) {
		expect(t, start(t, l, "", 1), answered)
		time.Sleep(life - time.Second)
		waiting := start(t, l, "held", 1)
		time.Sleep(time.Second)
		expect(t, start(t, l, "", 1), answered)
		l.close()
		expect(t, waiting, outcome{codes.Canceled, time.Second})
		f.counts(t, 4, 2, 0)
	})
}

// A call that ends in a panic, as one for a client that is gone may, does not
// keep the connection that it was on.
func TestPanicKeepsNoConnection(t *testing.T) {
	withForgetful(t, life, func(t *testing.T, f *forgetful, l *redialingConn) {
		expect(t, start(t, l, "", 1), answered)
		time.Sleep(life)
		func() {
			defer func() { _ = recover() }()
			_ = l.use(func(*grpc.ClientConn) error {
				expect(t, start(t, l, "", 1), answered) // and opens another
				panic("gone")
			})
		}()
		f.counts(t, 3, 2, 1)
	})
}

func TestOnBehalf(t *testing.T) {
	for _, test := range []struct {
		name, key string
		want      []string
	}{
		{"plain", "billing", []string{"billing"}},
		{"beyond ASCII", "店铺", []string{`\u5e97\u94fa`}},
		{"none", "", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			sent, _ := metadata.FromOutgoingContext(withLocalKey(t.Context(), test.key))
			got := sent.Get("wxbroker-local-key")
			if len(got) != len(test.want) || len(got) == 1 && got[0] != test.want[0] {
				t.Errorf("sent %q, want %q", got, test.want)
			}
		})
	}
}
