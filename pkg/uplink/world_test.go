package uplink_test

import (
	"context"
	"net"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/wxbroker/wxbroker/pkg/grpctest"
	"github.com/wxbroker/wxbroker/pkg/tlsfile"
	"github.com/wxbroker/wxbroker/pkg/tlstest"
	"github.com/wxbroker/wxbroker/pkg/uplink"
)

// broker is a gRPC server that notes who calls it.
type broker struct {
	grpc_health_v1.UnimplementedHealthServer
	dial grpctest.Dial
	stop func()
	// held is closed once a call is held up.
	held chan struct{}

	mu     sync.Mutex
	tokens []string // of the authorization header of each call
	serial string   // of the last caller's certificate
}

// serve runs a broker, over TLS if it has files.
func serve(t *testing.T, files tlsfile.Files) *broker {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b, server := newBroker(t, files)
	b.dial = func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", listener.Addr().String())
	}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return b
}

// serveInBubble is serve in a bubble.
func serveInBubble(t *testing.T, files tlsfile.Files) *broker {
	t.Helper()
	b, server := newBroker(t, files)
	b.dial = grpctest.Serve(t, server)
	return b
}

// newBroker returns a broker, and the server that is to serve it.
func newBroker(t *testing.T, files tlsfile.Files) (*broker, *grpc.Server) {
	t.Helper()
	b := &broker{held: make(chan struct{})}
	var options []grpc.ServerOption
	if files.Cert != "" {
		source, _, err := tlsfile.Load(t.Context(), files)
		if err != nil {
			t.Fatal(err)
		}
		config, err := source.Server()
		if err != nil {
			t.Fatal(err)
		}
		options = append(options, grpc.Creds(credentials.NewTLS(config)))
	}
	server := grpc.NewServer(options...)
	grpc_health_v1.RegisterHealthServer(server, b)
	b.stop = server.Stop
	return b, server
}

// Check answers a call, unless it is to be held up.
func (b *broker) Check(ctx context.Context, r *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	if r.GetService() == "hold" {
		close(b.held)
		<-ctx.Done()
		return nil, ctx.Err()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	headers, _ := metadata.FromIncomingContext(ctx)
	b.tokens = append(b.tokens, headers.Get("authorization")...)
	caller, _ := peer.FromContext(ctx)
	b.serial = ""
	if info, ok := caller.AuthInfo.(credentials.TLSInfo); ok && len(info.State.PeerCertificates) > 0 {
		b.serial = tlstest.Pair{Leaf: info.State.PeerCertificates[0]}.Serial()
	}
	return new(grpc_health_v1.HealthCheckResponse), nil
}

func (b *broker) last() (tokens []string, serial string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	tokens, b.tokens = b.tokens, nil
	return tokens, b.serial
}

// connect opens a connection over link, whatever the address.
func (b *broker) connect(t *testing.T, link *uplink.Link) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///broker", append(link.Dial(), grpctest.Over(b.dial))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// call calls the broker over link, on a connection of its own.
func (b *broker) call(t *testing.T, link *uplink.Link) error {
	t.Helper()
	return ask(t, b.connect(t, link))
}

func ask(t *testing.T, conn *grpc.ClientConn) error {
	t.Helper()
	_, err := grpc_health_v1.NewHealthClient(conn).Check(t.Context(), new(grpc_health_v1.HealthCheckRequest))
	return err
}

// open opens a link that has nothing wrong with it.
func open(t *testing.T, f uplink.Flags, address string) *uplink.Link {
	t.Helper()
	link, err := f.Open(t.Context(), address)
	if err != nil || len(link.Warnings()) > 0 {
		t.Fatalf("error %v, warnings %q", err, link.Warnings())
	}
	return link
}
