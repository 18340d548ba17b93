// Package edgetest runs a whole edge inside a test, in fake time if the test
// is in a synctest bubble. It is for tests that need broker and edges in one
// process, which neither of their modules can have.
package edgetest

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/wxbroker/wxbroker/edge/internal/app"
	"github.com/wxbroker/wxbroker/edge/internal/localkey"
	"github.com/wxbroker/wxbroker/pkg/credential"
)

// Config is what a test says of its edge.
type Config struct {
	Name   string
	AppIDs []string
	// LocalKeys are those of a file of local keys: a key, or lines of `name
	// key`. With one the edge asks for access_tokens too, and hands out what it
	// holds.
	LocalKeys string
	// Dial connects to the broker's gRPC API, DialOptions say how: whether over
	// TLS, with which token. Without them it is plain text.
	Dial        func(context.Context) (net.Conn, error)
	DialOptions []grpc.DialOption
	Clock       credential.Clock
	Log         *slog.Logger
}

// Edge is a running edge.
type Edge struct {
	app  *app.App
	stop func()
}

// Start runs an edge until Stop or the test's end. Nobody can connect to it:
// Handler is asked directly. It follows no files.
func Start(t testing.TB, c Config) *Edge {
	t.Helper()
	options := c.DialOptions
	if options == nil {
		options = []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}
	}
	a, err := app.New(app.Config{
		Keys:   c.keys(t),
		Broker: "passthrough:///broker", AppIDs: c.AppIDs, Name: c.Name, Version: "test",
		Log: c.Log, Clock: c.Clock, Listen: bufconn.Listen(1 << 10), Ops: bufconn.Listen(1 << 10),
		Dial: append(slices.Clone(options),
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return c.Dial(ctx) })),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := a.Run(ctx); err != nil {
			t.Errorf("edge: %v", err)
		}
	})
	e := &Edge{app: a, stop: sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})}
	t.Cleanup(e.stop)
	return e
}

func (c Config) keys(t testing.TB) *localkey.Source {
	t.Helper()
	if c.LocalKeys == "" {
		return nil
	}
	path := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(path, []byte(c.LocalKeys), 0o600); err != nil {
		t.Fatal(err)
	}
	keys, _, err := localkey.Load(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// Handler returns the edge's HTTP API.
func (e *Edge) Handler() http.Handler { return e.app.Handler() }

// Ready says why the edge is not ready, nil if it is.
func (e *Edge) Ready() error { return e.app.Ready() }

// Stop stops the edge as SIGTERM does and waits for its end.
func (e *Edge) Stop() { e.stop() }
