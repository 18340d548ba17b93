package calls_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/broker/internal/rpc/rpctest"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// TestCallThatSaysNothing ends by itself.
func TestCallThatSaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		start := time.Now()
		stream, err := wxbrokerv1.NewWeChatServiceClient(w.Conn).Call(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); status.Code(err) != codes.DeadlineExceeded || time.Since(start) != 10*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

// TestSecondHead ends a call.
func TestSecondHead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		again := head("POST", "/cgi-bin/echo", "")
		stream := w.call(t.Context(), w.Conn, again)
		_ = stream.Send(&wxbrokerv1.CallRequest{Part: &wxbrokerv1.CallRequest_Head{Head: again}})
		if _, err := stream.Recv(); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "only the first request") {
			t.Errorf("%v", err)
		}
	})
}

// TestBodyThatDoesNotCome: nobody waits for it without end.
func TestBodyThatDoesNotCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		stream := w.call(t.Context(), w.Conn, head("POST", "/cgi-bin/echo", ""))
		start := time.Now()
		if _, err := stream.Recv(); status.Code(err) != codes.DeadlineExceeded || time.Since(start) != 30*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

// TestCallsEndWithTheirGrant: one whose body comes after it was revoked is not
// made, and an answer that is under way ends within five seconds.
func TestCallsEndWithTheirGrant(t *testing.T) {
	for _, tt := range []struct {
		name string
		// begin makes a call as far as it gets while it is granted, and returns what
		// waits for its end.
		begin func(*testing.T, context.Context, *world) (end func() error)
		most  time.Duration
	}{
		{"a body on its way", func(_ *testing.T, ctx context.Context, w *world) func() error {
			stream := w.call(ctx, w.Conn, head("POST", "/cgi-bin/echo", ""))
			_ = stream.Send(&wxbrokerv1.CallRequest{Part: &wxbrokerv1.CallRequest_Body{Body: []byte("a")}}) // Recv says why not
			synctest.Wait()
			return func() error {
				_ = stream.CloseSend()
				return drained(stream.Recv)
			}
		}, 0},
		{"an answer on its way", func(t *testing.T, ctx context.Context, w *world) func() error {
			stream := w.call(ctx, w.Conn, head("GET", wxapi.PathMedia, "media_id=m"))
			if _, err := stream.Recv(); err != nil {
				t.Fatal(err)
			}
			return func() error { return drained(stream.Recv) }
		}, 5 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.relayTo(trickle)
				token, id := access.NewToken()
				web := access.App{Name: "web", Identities: []access.Identity{id}, Accounts: []string{"wx1"}, Grants: []credential.Grant{credential.Call, credential.Media}}
				w.Use(web)
				// What is not cut off goes on for ever.
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				end := tt.begin(t, rpctest.By(ctx, token.Reveal()), w)
				web.Grants = []credential.Grant{credential.Sign}
				w.Use(web)
				synctest.Wait()
				start := time.Now()
				if err, took := end(), time.Since(start); status.Code(err) != codes.PermissionDenied || took > tt.most {
					t.Errorf("%v after %v", err, took)
				}
			})
		})
	}
}

// TestStuckReaders: a download that nobody reads ends, and the audit is told.
func TestStuckReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.relayTo(endless)
		stream := w.call(t.Context(), w.Conn, head("GET", wxapi.PathMedia, "media_id=m"))
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(35 * time.Second)
		w.ExpectAudit("action=media outcome=failed")
	})
}

// TestAnswersThatBreakOff are not taken for whole ones.
func TestAnswersThatBreakOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		if _, _, err := w.pass(t.Context(), head("GET", wxapi.PathMedia, "media_id=half")); status.Code(err) != codes.Unavailable {
			t.Errorf("a call: %v", err)
		}
	})
}
