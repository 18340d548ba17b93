// Package brokertest runs a whole broker inside a test, in fake time if the
// test is in a synctest bubble. It is for tests that need broker and edges in
// one process, which neither of their modules can have.
package brokertest

import (
	"context"
	"log/slog"
	"net"
	"net/url"
	"sync"
	"testing"

	"google.golang.org/grpc/test/bufconn"

	"github.com/wxbroker/wxbroker/broker/internal/app"
	"github.com/wxbroker/wxbroker/broker/internal/config"
	"github.com/wxbroker/wxbroker/pkg/credential"
)

// Config is what a test says of its broker.
type Config struct {
	Data     string // path of the database
	Accounts []Account
	// DialWeChat opens connections to the simulated WeChat.
	DialWeChat func(context.Context) (net.Conn, error)
	Clock      credential.Clock
	Log        *slog.Logger
}

// Account is one account, with its jsapi_ticket.
type Account struct {
	AppID, Secret string
	Classic       bool // the classic token instead of the stable one
	SignHosts     []string
}

// Broker is a running broker.
type Broker struct {
	grpc *bufconn.Listener
	stop func()
}

// Start runs a broker until Stop or the test's end. Its listeners are in
// memory: Dial reaches its gRPC API.
func Start(t testing.TB, c Config) *Broker {
	t.Helper()
	loaded := config.Config{Data: c.Data, Upstreams: []*url.URL{{Scheme: "http", Host: "wechat.invalid"}}}
	for _, a := range c.Accounts {
		rules, err := credential.ParseHostRules(a.SignHosts)
		if err != nil {
			t.Fatal(err)
		}
		loaded.Accounts = append(loaded.Accounts, config.Account{
			AppID: a.AppID, Secret: credential.NewSecret(a.Secret), Stable: !a.Classic,
			Tickets: []credential.Kind{credential.JSAPITicket}, SignHosts: rules,
		})
	}
	b := &Broker{grpc: bufconn.Listen(64 << 10)}
	ctx, cancel := context.WithCancel(context.Background())
	a, err := app.New(ctx, loaded, app.Options{
		Version: "test", Log: c.Log, Clock: c.Clock, GRPC: b.grpc, Ops: bufconn.Listen(1 << 10),
		DialWeChat: func(ctx context.Context, _, _ string) (net.Conn, error) { return c.DialWeChat(ctx) },
	})
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		if err := a.Run(ctx); err != nil {
			t.Errorf("broker: %v", err)
		}
	})
	b.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})
	t.Cleanup(b.stop)
	return b
}

// Dial connects to the broker's gRPC API.
func (b *Broker) Dial(ctx context.Context) (net.Conn, error) { return b.grpc.DialContext(ctx) }

// Stop stops the broker as SIGTERM does and waits for its end.
func (b *Broker) Stop() { b.stop() }
