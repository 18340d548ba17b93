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

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/broker/internal/app"
	"github.com/wxbroker/wxbroker/broker/internal/config"
	"github.com/wxbroker/wxbroker/broker/internal/keeper"
	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/tlsfile"
)

// Config is what a test says of its broker.
type Config struct {
	Data string // path of the database
	// Disk is what the database lies on, nil for the file system.
	Disk     *Disk
	Accounts []Account
	// DialWeChat opens connections to the simulated WeChat, which has two hosts,
	// wechat.invalid:80 and, when that fails, wechat2.invalid:80.
	DialWeChat func(ctx context.Context, network, host string) (net.Conn, error)
	// TLS secures the gRPC listener, where it names files.
	TLS tlsfile.Files
	// Apps say who may do what. Without any, everybody may do everything.
	Apps  []App
	Clock credential.Clock
	Log   *slog.Logger
}

// App is one app.
type App struct {
	Name string
	// Identities, Accounts and Grants are as the configuration has them.
	Identities, Accounts, Grants []string
}

// Account is one account.
type Account struct {
	AppID, Secret string
	// Secrets has the AppSecret where it changes, nil where it never does.
	Secrets   *SecretFile
	Classic   bool              // the classic token instead of the stable one
	Tickets   []credential.Kind // jsapi_ticket where there are none
	SignHosts []string
	Limits    map[string]int // calls a day by WeChat's path, where not the default
}

// Broker is a running broker.
type Broker struct {
	app     *app.App
	grpc    *bufconn.Listener
	wires   wires
	cancel  context.CancelFunc
	running sync.WaitGroup
}

// Start runs a broker until it is stopped, killed, or the test ends. Its
// listeners are in memory: Dial reaches its gRPC API.
func Start(t testing.TB, c Config) *Broker {
	t.Helper()
	b := &Broker{grpc: bufconn.Listen(64 << 10)}
	options := app.Options{
		Version: "test", Log: c.Log, Clock: c.Clock, GRPC: b.grpc, Ops: bufconn.Listen(1 << 10),
		DialWeChat: func(ctx context.Context, network, host string) (net.Conn, error) {
			return b.wires.add(c.DialWeChat(ctx, network, host))
		},
	}
	if c.Disk != nil {
		options.OpenStore = c.Disk.open
	}
	ctx, cancel := context.WithCancel(context.Background())
	b.cancel = cancel
	a, err := app.New(ctx, c.loaded(t), options)
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	b.app = a
	b.running.Go(func() {
		if err := a.Run(ctx); err != nil && !b.wires.areCut() {
			t.Errorf("broker: %v", err)
		}
	})
	t.Cleanup(b.Stop)
	return b
}

// maxConnections is the cap of the gRPC listener.
const maxConnections = 10_000

// loaded is the configuration as it would have been read from a file.
func (c Config) loaded(t testing.TB) config.Config {
	t.Helper()
	loaded := config.Config{
		Fixed: config.Fixed{Data: c.Data, MaxConnections: maxConnections, TLS: c.TLS}, Policy: policy(t, c.Apps),
		Upstreams: []*url.URL{{Scheme: "http", Host: "wechat.invalid"}, {Scheme: "http", Host: "wechat2.invalid"}},
	}
	for _, a := range c.Accounts {
		rules, err := credential.ParseHostRules(a.SignHosts)
		if err != nil {
			t.Fatal(err)
		}
		account := config.Account{
			AppID: a.AppID, Secret: credential.NewSecret(a.Secret), Stable: !a.Classic, Tickets: a.Tickets, SignHosts: rules,
		}
		if len(a.Tickets) == 0 {
			account.Tickets = []credential.Kind{credential.JSAPITicket}
		}
		if a.Secrets != nil {
			account.Secret, account.FollowSecret = credential.NewSecret(a.Secrets.Read()), a.Secrets.follow
		}
		account.Limits = make(map[wechat.API]int)
		for path, limit := range a.Limits {
			account.Limits[wechat.APIAt(path)] = limit
		}
		loaded.Accounts = append(loaded.Accounts, account)
	}
	return loaded
}

func policy(t testing.TB, apps []App) *access.Policy {
	t.Helper()
	if len(apps) == 0 {
		return access.Open()
	}
	var known []access.App
	for _, a := range apps {
		granted := access.App{Name: a.Name, Accounts: a.Accounts}
		for _, s := range a.Identities {
			id, err := access.ParseIdentity(s)
			if err != nil {
				t.Fatal(err)
			}
			granted.Identities = append(granted.Identities, id)
		}
		for _, g := range a.Grants {
			granted.Grants = append(granted.Grants, credential.Grant(g))
		}
		known = append(known, granted)
	}
	p, err := access.NewPolicy(known, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Dial connects to the broker's gRPC API.
func (b *Broker) Dial(ctx context.Context) (net.Conn, error) {
	return b.wires.add(b.grpc.DialContext(ctx))
}

// Status returns the state of an account's keeper.
func (b *Broker) Status(appid string) keeper.Status { return b.app.Status(appid) }

// Stop stops the broker as SIGTERM does and waits for its end.
func (b *Broker) Stop() {
	b.cancel()
	b.running.Wait()
}

// Cut looks from outside like SIGKILL: every connection ends, and the broker sends and
// receives nothing more. Cut does not wait, so a test can call it between any two steps
// of the broker. Stop waits for the broker's end.
func (b *Broker) Cut() {
	b.wires.cut()
	_ = b.grpc.Close() // closed twice is no error worth telling
}

// MaxClaim is how far ahead of the broker's clock it believes a version that an
// edge holds.
const MaxClaim = keeper.MaxClaim

// Limit returns how many calls a day the broker allows itself of WeChat's API
// at that path, without a limit of the configuration's.
func Limit(path string) int { return keeper.DefaultLimits()[wechat.APIAt(path)] }
