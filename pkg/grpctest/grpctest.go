// Package grpctest serves gRPC to a test, in memory, so that it works in a synctest bubble.
package grpctest

import (
	"context"
	"errors"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
)

// Dial opens a connection to a server.
type Dial func(context.Context) (net.Conn, error)

// Serve serves until the server is stopped, at the latest at the end of the test, and
// returns the way to it.
func Serve(t testing.TB, server *grpc.Server) Dial {
	t.Helper()
	listener := bufconn.Listen(64 << 10)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Errorf("serving gRPC: %v", err)
		}
	})
	return listener.DialContext
}

// Over returns the option that has a client reach its server with dial, whatever the address.
func Over(dial Dial) grpc.DialOption {
	return grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return dial(ctx) })
}

// Connect returns a connection over dial until the end of the test, in plain text unless
// options say otherwise.
func Connect(t testing.TB, dial Dial, options ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///server",
		append([]grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials()), Over(dial)}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}
