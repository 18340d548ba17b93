package rpc_test

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/wxbroker/wxbroker/broker/internal/rpc"
	"github.com/wxbroker/wxbroker/broker/internal/rpc/rpctest"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// bound is how long a stop may take: see drain.
const bound = 5 * time.Second

// TestStopIsToldToServices, whose streams end regularly by that. By then gRPC's health
// service says that nothing is served.
func TestStopIsToldToServices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stopping := make(chan struct{})
		told := service(func(stream wxbrokerv1.CredentialService_WatchServer) error {
			_ = stream.Send(new(wxbrokerv1.WatchResponse)) // whoever watches has left otherwise
			select {
			case <-stopping:
				return nil
			case <-stream.Context().Done():
				return stream.Context().Err()
			}
		})
		s := rpctest.New(t)
		told.Stop = func() {
			got, err := healthv1.NewHealthClient(s.Conn).Check(t.Context(), &healthv1.HealthCheckRequest{Service: told.Desc.ServiceName})
			if err != nil || got.GetStatus() != healthv1.HealthCheckResponse_NOT_SERVING {
				t.Errorf("the service that stops is said to be %v, %v", got, err)
			}
			close(stopping)
		}
		s.Serve(told)
		stream := watch(t.Context(), t, s.Conn)
		if took := s.Stop(); took > 0 {
			t.Errorf("the stop took %v though nothing was in its way", took)
		}
		if err := end(stream); !errors.Is(err, io.EOF) {
			t.Errorf("the stream ended with %v", err)
		}
	})
}

// TestStopIsBounded: what is still under way is cut off then.
func TestStopIsBounded(t *testing.T) {
	for _, tt := range []struct {
		name  string
		watch func(wxbrokerv1.CredentialService_WatchServer) error
	}{
		{"a call that does not end", untilItLeaves},
		{"a client that does not read", func(stream wxbrokerv1.CredentialService_WatchServer) error {
			big := &wxbrokerv1.WatchResponse{Accounts: []*wxbrokerv1.Account{{Appid: strings.Repeat("x", 64<<10)}}}
			for {
				if err := stream.Send(big); err != nil {
					return err
				}
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := serve(t, tt.watch)
				stream := watch(t.Context(), t, s.Conn)
				synctest.Wait()
				if took := s.Stop(); took != bound {
					t.Errorf("the stop took %v", took)
				}
				if err := end(stream); errors.Is(err, io.EOF) {
					t.Error("the stream ended regularly though it was cut off")
				}
			})
		})
	}
}

// TestCallsMayEndDuringAStop: who asked before is answered.
func TestCallsMayEndDuringAStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const takes = bound - time.Second
		s := serve(t, func(stream wxbrokerv1.CredentialService_WatchServer) error {
			_ = stream.Send(new(wxbrokerv1.WatchResponse))
			time.Sleep(takes)
			return nil
		})
		stream := watch(t.Context(), t, s.Conn)
		if took := s.Stop(); took != takes {
			t.Errorf("the stop took %v", took)
		}
		if err := end(stream); !errors.Is(err, io.EOF) {
			t.Errorf("the call ended with %v", err)
		}
	})
}

func TestHealth(t *testing.T) {
	for _, service := range []string{"", "wxbroker.v1.CredentialService"} {
		t.Run("service "+service, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := serve(t, untilItLeaves)
				client := healthv1.NewHealthClient(s.Conn)
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
				if took := s.Stop(); took > 0 {
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
		err := rpc.NewServer(rpc.Options{}).Run(t.Context(), brokenListener{bufconn.Listen(1)})
		if !errors.Is(err, errBroken) || !strings.Contains(err.Error(), "bufconn") {
			t.Errorf("got %v, want what failed and where", err)
		}
	})
}
