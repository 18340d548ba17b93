package watch_test

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/watch"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// sayer is a broker that sends everybody the same state.
type sayer struct {
	wxbrokerv1.UnimplementedCredentialServiceServer
}

func (sayer) Watch(stream wxbrokerv1.CredentialService_WatchServer) error {
	if err := stream.Send(&wxbrokerv1.WatchResponse{Revision: 1, ServerTime: timestamppb.Now()}); err != nil {
		return err
	}
	<-stream.Context().Done()
	return nil
}

// TestProxyIsNotForTheBroker, whatever the environment says. No library asks a proxy for
// a loopback address. So the broker is called by an address that does not look like one.
func TestProxyIsNotForTheBroker(t *testing.T) {
	var lc net.ListenConfig
	listen := func() net.Listener {
		listener, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = listener.Close() })
		return listener
	}
	listener, proxy := listen(), listen()
	server := grpc.NewServer()
	wxbrokerv1.RegisterCredentialServiceServer(server, sayer{})
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	asked := make(chan struct{}, 100)
	go func() {
		for {
			conn, err := proxy.Accept()
			if err != nil {
				return
			}
			asked <- struct{}{}
			_ = conn.Close()
		}
	}()
	// A process reads these variables once. No other test here has them read.
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"} {
		t.Setenv(name, "http://"+proxy.Addr().String())
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan struct{}, 100)
	client := watch.New(watch.Options{
		Target: "0.0.0.0:" + port, Dial: []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())},
		Kinds: []credential.Kind{credential.JSAPITicket}, Clock: credential.WallClock, Log: slog.New(slog.DiscardHandler),
		Apply: func([]credential.Account) { heard <- struct{}{} },
	})
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { client.Run(ctx) })
	defer running.Wait()
	defer stop()
	select {
	case <-heard:
	case <-asked:
		t.Error("the proxy is asked for the broker")
	case <-time.After(20 * time.Second):
		t.Error("the broker is not reached")
	}
}
