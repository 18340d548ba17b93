package operator_test

import (
	"context"
	"log/slog"
	"net/url"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/broker/internal/edges"
	"github.com/wxbroker/wxbroker/broker/internal/fanout"
	"github.com/wxbroker/wxbroker/broker/internal/keeper"
	"github.com/wxbroker/wxbroker/broker/internal/operator"
	"github.com/wxbroker/wxbroker/broker/internal/relay"
	"github.com/wxbroker/wxbroker/broker/internal/snapshot"
	"github.com/wxbroker/wxbroker/broker/internal/store/storetest"
	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
	"github.com/wxbroker/wxbroker/pkg/wechatsim/simtest"
)

const (
	appid  = "wx1"
	other  = "wx0" // sorts before it
	secret = "0123456789abcdef0123456789abcdef"
)

// world is a Service over keepers in fake time.
type world struct {
	*operator.Service
	sim    *wechatsim.Sim
	states fanout.Fanout

	running map[string]*keeper.Keeper
	stop    func() // ends the keepers
}

// newWorld starts a keeper for each account, after before has troubled WeChat.
func newWorld(t *testing.T, before func(*wechatsim.Sim), appids ...string) *world {
	t.Helper()
	sim := wechatsim.New(wechatsim.Config{Accounts: []wechatsim.Account{{AppID: appid, Secret: secret}, {AppID: other, Secret: secret}}})
	if before != nil {
		before(sim)
	}
	client := wechat.New(wechat.Options{
		Upstreams: []*url.URL{{Scheme: "http", Host: "127.0.0.1:1"}, {Scheme: "http", Host: "127.0.0.1:2"}},
		Dial:      simtest.Serve(t, sim).Dial,
	})
	w := &world{sim: sim, running: map[string]*keeper.Keeper{}, Service: &operator.Service{Source: &snapshot.Source{
		Version: "v1.2.3", Started: time.Now(), Clock: credential.WallClock, Edges: new(edges.Register), Upstreams: client.Upstreams,
	}}}
	w.Relay = relay.New(relay.Options{
		WeChat: client, Account: w.states.Account, Store: new(storetest.Disk).Writer(), Clock: credential.WallClock, Log: slog.New(slog.DiscardHandler),
		Keeper: func(appid string) *keeper.Keeper { return w.running[appid] },
	})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	var keepers []*keeper.Keeper
	w.Keepers = func() []*keeper.Keeper { return slices.Clone(keepers) }
	w.Configuration = func() snapshot.Configuration { return snapshot.Configuration{Loaded: w.Started} }
	for _, appid := range appids {
		k := keeper.New(t.Context(), keeper.Options{
			Account: wechat.Account{AppID: appid, Secret: credential.NewSecret(secret)},
			Tickets: []credential.Kind{credential.JSAPITicket},
			WeChat:  client, Store: new(storetest.Disk).Writer(), Publish: w.states.Publish,
			Clock: credential.WallClock, Log: slog.New(slog.DiscardHandler),
		})
		keepers = append(keepers, k)
		w.running[appid] = k
		running.Go(func() { k.Run(ctx) })
	}
	w.stop = func() {
		cancel()
		running.Wait()
	}
	t.Cleanup(w.stop)
	synctest.Wait()
	return w
}

// as returns a context in which an app calls that administers these accounts.
func as(t *testing.T, appids ...string) context.Context {
	t.Helper()
	app := &access.App{Name: "ops", Accounts: appids, Grants: []credential.Grant{credential.Admin}}
	return access.WithCaller(t.Context(), access.Caller{}, app)
}

func inject(t *testing.T, sim *wechatsim.Sim, f wechatsim.Fault) {
	t.Helper()
	if err := sim.Inject(f); err != nil {
		t.Fatal(err)
	}
}
