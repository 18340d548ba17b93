package calls_test

import (
	"context"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/broker/internal/rpc/rpctest"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

const (
	// mostUnderWay is how many calls of an app may be under way.
	mostUnderWay = 500
	// mostStreams is how many of them a connection may carry.
	mostStreams = 250
)

// TestCallsUnderWayAreBounded, of each app by itself. One that is refused takes
// no place, and however one ends, it gives its place back.
func TestCallsUnderWayAreBounded(t *testing.T) {
	answer := func(w *world, ctx context.Context, conn *grpc.ClientConn) error {
		_, err := w.call(ctx, conn, head("GET", wxapi.PathMedia, "media_id=m")).Recv()
		return err
	}
	for _, tt := range []struct {
		name string
		// begin begins a call that goes on until its ctx ends, or end is called.
		begin func(*testing.T, *world, context.Context, *grpc.ClientConn) (end func())
	}{
		{"calls that say nothing", func(t *testing.T, _ *world, ctx context.Context, conn *grpc.ClientConn) func() {
			stream, err := wxbrokerv1.NewWeChatServiceClient(conn).Call(ctx)
			if err != nil {
				t.Fatal(err)
			}
			return func() { _, _ = stream.Recv() } // they end by themselves
		}},
		{"bodies that are whole in the end", func(t *testing.T, w *world, ctx context.Context, conn *grpc.ClientConn) func() {
			stream := w.call(ctx, conn, head("POST", "/cgi-bin/echo", ""))
			return func() {
				_ = stream.CloseSend()
				if err := drained(stream.Recv); err != nil {
					t.Error(err)
				}
			}
		}},
		{"answers whose callers leave", func(t *testing.T, w *world, ctx context.Context, conn *grpc.ClientConn) func() {
			ctx, cancel := context.WithCancel(ctx)
			if err := answer(w, ctx, conn); err != nil {
				t.Fatal(err)
			}
			return cancel
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.relayTo(trickle)
				var apps []access.App
				as := func(name string) context.Context {
					secret, id := access.NewToken()
					apps = append(apps, access.App{
						Name: name, Identities: []access.Identity{id}, Accounts: []string{"wx1"},
						Grants: []credential.Grant{credential.Call, credential.Media}, PerSecond: 10_000,
					})
					return rpctest.By(t.Context(), secret.Reveal())
				}
				web, other := as("web"), as("other")
				w.Use(apps...)
				conns := []*grpc.ClientConn{w.Connect(), w.Connect()} // as many streams as one may have
				for range 2 {
					var ends []func()
					for i := range mostUnderWay {
						ends = append(ends, tt.begin(t, w, web, conns[i/mostStreams]))
					}
					synctest.Wait()
					for range 3 {
						if err := answer(w, web, w.Conn); status.Code(err) != codes.ResourceExhausted {
							t.Errorf("one more is answered %v", err)
						}
					}
					ctx, cancel := context.WithCancel(other)
					if err := answer(w, ctx, w.Conn); err != nil {
						t.Errorf("another app's: %v", err)
					}
					cancel()
					for _, end := range ends {
						end()
					}
					synctest.Wait()
				}
			})
		})
	}
}
