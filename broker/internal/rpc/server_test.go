package rpc_test

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/wxbroker/wxbroker/broker/internal/edges"
	"github.com/wxbroker/wxbroker/broker/internal/fanout"
	"github.com/wxbroker/wxbroker/broker/internal/rpc"
	"github.com/wxbroker/wxbroker/pkg/credential"
)

// bound is how long a stop may take: see drain.
const bound = 5 * time.Second

func TestStopEndsStreamsRegularly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.publish("wx1", ticket(1, "a"))
		first, second := w.watch(both()), w.watch(both("wx1"))
		first.next()
		second.next()
		if took := w.stopped(); took > time.Second {
			t.Errorf("the stop took %v though nothing was in its way", took)
		}
		for _, s := range []*watcher{first, second} {
			s.checkEnded()
		}
	})
}

func TestStopBeforeTheSubscription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.open()
		synctest.Wait()
		if took := w.stopped(); took > time.Second {
			t.Errorf("the stop took %v", took)
		}
		s.checkRefused(codes.Unavailable)
	})
}

func TestStopIsBoundedThoughAClientDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		stuck := w.watch(both())
		big := strings.Repeat("x", 64<<10)
		for v := range int64(100) {
			w.publish("wx1", ticket(v+1, big))
			synctest.Wait()
		}
		took := w.stopped()
		if took > bound {
			t.Errorf("the stop took %v", took)
		}
		if took == 0 {
			t.Error("the stream was not in the way of the stop, so this test shows nothing")
		}
		if err := stuck.end(); errors.Is(err, io.EOF) {
			t.Error("the stream ended regularly though it was cut off")
		}
	})
}

func TestHealth(t *testing.T) {
	for _, service := range []string{"", "wxbroker.v1.CredentialService"} {
		t.Run("service "+service, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				client := healthv1.NewHealthClient(w.conn)
				request := &healthv1.HealthCheckRequest{Service: service}
				got, err := client.Check(t.Context(), request)
				if err != nil || got.GetStatus() != healthv1.HealthCheckResponse_SERVING {
					t.Fatalf("Check answers %v, %v", got, err)
				}
				// A stream would know nothing of grants, and hold up the stop.
				watching, err := client.Watch(t.Context(), request)
				if err == nil {
					_, err = watching.Recv()
				}
				if status.Code(err) != codes.Unimplemented {
					t.Errorf("Watch says %v", err)
				}
				if took := w.stopped(); took > 0 {
					t.Errorf("the stop took %v", took)
				}
			})
		})
	}
}

// brokenListener fails at once.
type brokenListener struct{ net.Listener }

var errBroken = errors.New("broken")

func (brokenListener) Accept() (net.Conn, error) { return nil, errBroken }

func TestFailingListenerIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := rpc.NewServer(rpc.Options{
			Fanout: new(fanout.Fanout), Edges: new(edges.Register), Clock: credential.WallClock, Log: slog.New(slog.DiscardHandler),
		})
		err := server.Run(t.Context(), brokenListener{bufconn.Listen(1)})
		if !errors.Is(err, errBroken) || !strings.Contains(err.Error(), "bufconn") {
			t.Errorf("got %v, want what failed and where", err)
		}
	})
}
