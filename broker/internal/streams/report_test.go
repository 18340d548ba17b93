package streams_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/pkg/credential"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// aHash is the hash of some value.
var aHash = sha256.Sum256([]byte("80_value"))

// reportInvalid makes a report as an edge does.
func (w *world) reportInvalid(ctx context.Context, kind wxbrokerv1.CredentialKind, hash []byte) (*wxbrokerv1.ReportInvalidResponse, error) {
	return wxbrokerv1.NewCredentialServiceClient(w.Conn).ReportInvalid(ctx, &wxbrokerv1.ReportInvalidRequest{
		Appid: "wx1", Kind: kind, ValueSha256: hash,
	})
}

// errNobodyKnows stands for a keeper that has handed out no such value.
var errNobodyKnows = errors.New("unknown")

func TestReport(t *testing.T) {
	for _, tt := range []struct {
		name  string
		kind  wxbrokerv1.CredentialKind
		hash  []byte
		fails error // of the keeper
		code  codes.Code
		asked bool // the keeper
	}{
		{"a token", tokenKind, aHash[:], nil, codes.OK, true},
		{"a ticket", ticketKind, aHash[:], nil, codes.OK, true},
		{"no kind", 0, aHash[:], nil, codes.InvalidArgument, false},
		{"a kind of another day", newerKind, aHash[:], nil, codes.InvalidArgument, false},
		{"no hash", tokenKind, nil, nil, codes.InvalidArgument, false},
		{"half a hash", tokenKind, aHash[:16], nil, codes.InvalidArgument, false},
		{"more than a hash", tokenKind, append(aHash[:], 0), nil, codes.InvalidArgument, false},
		{"the hash in hexadecimal", tokenKind, fmt.Appendf(nil, "%x", aHash), nil, codes.InvalidArgument, false},
		{"a value that nobody knows", tokenKind, aHash[:], errNobodyKnows, codes.NotFound, true},
		{"a keeper that has stopped", tokenKind, aHash[:], errors.New("stopped"), codes.Unavailable, true},
		// The keeper's own end is no deadline of the caller's.
		{"a keeper that was cancelled", tokenKind, aHash[:], context.Canceled, codes.Unavailable, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				var asked string
				w.report = func(_ context.Context, appid string, kind credential.Kind, hash [sha256.Size]byte) (v credential.Versions, known bool, err error) {
					asked = fmt.Sprintf("%s %s %x", appid, kind, hash)
					if errors.Is(tt.fails, errNobodyKnows) {
						return credential.Versions{}, false, nil
					}
					return credential.Versions{Reported: 17, Current: 18}, true, tt.fails
				}
				got, err := w.reportInvalid(t.Context(), tt.kind, tt.hash)
				if status.Code(err) != tt.code {
					t.Errorf("answered %v, want %v", err, tt.code)
				}
				if (asked != "") != tt.asked {
					t.Errorf("the keeper was asked %q", asked)
				}
				if tt.code != codes.OK {
					return
				}
				if got.GetReportedVersion() != 17 || got.GetCurrentVersion() != 18 {
					t.Errorf("answered %v", got)
				}
				kind, _ := credential.KindFromWire(tt.kind)
				if want := fmt.Sprintf("wx1 %s %x", kind, aHash); asked != want {
					t.Errorf("the keeper was asked %q, want %q", asked, want)
				}
			})
		})
	}
}

// TestReportThatNobodyWaitsFor: the keeper is told that its caller has gone,
// and the caller why it got no answer.
func TestReportThatNobodyWaitsFor(t *testing.T) {
	for _, tt := range []struct {
		name string
		ctx  func(context.Context) (context.Context, context.CancelFunc)
		code codes.Code
	}{
		{"deadline", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, time.Second)
		}, codes.DeadlineExceeded},
		{"cancelled", func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(time.Second, cancel)
			return ctx, cancel
		}, codes.Canceled},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				told := make(chan struct{})
				w.report = func(ctx context.Context, _ string, _ credential.Kind, _ [sha256.Size]byte) (v credential.Versions, known bool, err error) {
					<-ctx.Done()
					close(told)
					return credential.Versions{}, false, ctx.Err()
				}
				ctx, cancel := tt.ctx(t.Context())
				defer cancel()
				if _, err := w.reportInvalid(ctx, tokenKind, aHash[:]); status.Code(err) != tt.code {
					t.Errorf("answered %v, want %v", err, tt.code)
				}
				<-told
			})
		})
	}
}

// TestReportsAreLimited for each app: ten seconds' worth at once and then as
// many a second as the app may make calls, bad ones too.
func TestReportsAreLimited(t *testing.T) {
	for _, kind := range []wxbrokerv1.CredentialKind{tokenKind, newerKind} {
		t.Run(kind.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.report = func(context.Context, string, credential.Kind, [sha256.Size]byte) (v credential.Versions, known bool, err error) {
					return credential.Versions{Reported: 1, Current: 1}, true, nil
				}
				// taken counts the reports that are taken until one is not.
				taken := func() int {
					for n := range 1000 {
						if _, err := w.reportInvalid(t.Context(), kind, aHash[:]); status.Code(err) == codes.ResourceExhausted {
							return n
						}
					}
					return 1000
				}
				if n := taken(); n != 10*access.DefaultPerSecond {
					t.Errorf("%d reports at once were taken", n)
				}
				time.Sleep(time.Second)
				if n := taken(); n != access.DefaultPerSecond {
					t.Errorf("%d reports were taken a second later, want %d", n, access.DefaultPerSecond)
				}
				time.Sleep(time.Minute)
				if n := taken(); n != 10*access.DefaultPerSecond {
					t.Errorf("%d reports were taken a minute later", n)
				}
			})
		})
	}
}
