// Package brokertest is a broker for tests of the edge: in memory, with answers that
// a test gives. It works in a synctest bubble and outside of one.
package brokertest

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"

	"github.com/wxbroker/wxbroker/edge/internal/broker"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/grpctest"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// Broker answers as a test tells it to, and notes what it was asked. What a test
// does not set is not implemented.
type Broker struct {
	// Answer answers a call.
	Answer Answer
	// Report answers a report.
	Report func(context.Context, *wxbrokerv1.ReportInvalidRequest) (credential.Versions, error)
	// Watch answers a stream of credentials.
	Watch func(WatchStream) error

	mu    sync.Mutex
	heads []*wxbrokerv1.CallHead
	keys  []string
}

// WatchStream is a stream of credentials at the broker's end.
type WatchStream = grpc.BidiStreamingServer[wxbrokerv1.WatchRequest, wxbrokerv1.WatchResponse]

// Heads returns the heads of all calls that began.
func (b *Broker) Heads() []*wxbrokerv1.CallHead {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.heads
}

// HeadsOf returns the heads of all calls of a path.
func (b *Broker) HeadsOf(path string) (heads []*wxbrokerv1.CallHead) {
	for _, head := range b.Heads() {
		if head.GetPath() == path {
			heads = append(heads, head)
		}
	}
	return heads
}

// Keys returns the name of the local key that each call and report was made with,
// "" for none.
func (b *Broker) Keys() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.keys
}

func (b *Broker) note(ctx context.Context, head *wxbrokerv1.CallHead) {
	headers, _ := metadata.FromIncomingContext(ctx)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.keys = append(b.keys, strings.Join(headers.Get("wxbroker-local-key"), ","))
	if head != nil {
		b.heads = append(b.heads, head)
	}
}

// Serve serves the broker until the end of the test, and returns the way to it.
// After a day it goes away, in fake time: a call that nothing else ends fails then,
// and a test does not wait for it for ever.
func (b *Broker) Serve(t testing.TB, options ...grpc.ServerOption) grpctest.Dial {
	t.Helper()
	// As the broker's: what the client's keepalive sends must not count as abuse.
	server := grpc.NewServer(append(options, grpc.WaitForHandlers(true),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}))...)
	b.Register(server)
	tomorrow := time.AfterFunc(24*time.Hour, server.Stop)
	t.Cleanup(func() { tomorrow.Stop() })
	return grpctest.Serve(t, server)
}

// Register adds the broker's services to a server of the test's own.
func (b *Broker) Register(server *grpc.Server) {
	wxbrokerv1.RegisterWeChatServiceServer(server, weChatService{Broker: b})
	wxbrokerv1.RegisterCredentialServiceServer(server, credentialService{Broker: b})
}

// Client returns a client of the broker, which it serves, of version v1.2.3.
func (b *Broker) Client(t testing.TB, options ...grpc.ServerOption) *broker.Client {
	t.Helper()
	return Client(t, b.Serve(t, options...))
}

// Client returns a client of the broker that dial reaches, of version v1.2.3.
func Client(t testing.TB, dial grpctest.Dial) *broker.Client {
	t.Helper()
	client, err := broker.New("passthrough:///broker", "v1.2.3", []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpctest.Over(dial),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}
