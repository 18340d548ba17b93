// Package app wires the broker: configuration → store → keepers → fanout →
// streams, and the ops listener beside them.
package app

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/wxbroker/wxbroker/broker/internal/config"
	"github.com/wxbroker/wxbroker/broker/internal/fanout"
	"github.com/wxbroker/wxbroker/broker/internal/keeper"
	"github.com/wxbroker/wxbroker/broker/internal/operator"
	"github.com/wxbroker/wxbroker/broker/internal/ops"
	"github.com/wxbroker/wxbroker/broker/internal/rpc"
	"github.com/wxbroker/wxbroker/broker/internal/store"
	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/daemon"
)

// Options are what a test may replace; the zero value is for production but
// for Version and Log.
type Options struct {
	Version string
	Log     *slog.Logger
	// Clock is the wall clock, nil for the machine's.
	Clock credential.Clock
	// DialWeChat opens connections to the upstreams, nil for the network.
	DialWeChat func(ctx context.Context, network, address string) (net.Conn, error)
	// GRPC and Ops are listened on instead of the configured addresses.
	GRPC, Ops net.Listener
	// OpenStore opens the database, nil for a file.
	OpenStore func(path string) (Store, error)
}

// Store is an open database: a file, or what a simulation puts in its place.
type Store interface {
	keeper.Store
	// Aside returns the damaged database that was set aside, nil if none.
	Aside() *store.Aside
	Close() error
}

// App is a broker that has opened what it needs and serves once Run is called.
type App struct {
	log       *slog.Logger
	store     Store
	keepers   []*keeper.Keeper
	server    *rpc.Server
	metrics   *ops.Metrics
	grpc, ops net.Listener
}

// New opens the listeners and the database, restores what the database has,
// and wires the rest. Nothing is served and WeChat is not called before Run.
// On an error nothing stays open.
func New(ctx context.Context, c config.Config, o Options) (_ *App, err error) {
	if o.Clock == nil {
		o.Clock = credential.WallClock
	}
	a := &App{log: o.Log, grpc: o.GRPC, ops: o.Ops, metrics: ops.New(o.Version)}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.close())
		}
	}()
	for _, w := range c.Warnings {
		o.Log.Warn("configuration", "warning", w)
	}
	if c.Insecure && !c.GRPC.IsLocal() {
		o.Log.Warn("insecure: credentials cross the network in plain text, and whoever reaches the listener gets them", "listen", c.GRPC)
	}
	if o.OpenStore == nil {
		o.OpenStore = func(path string) (Store, error) { return store.Open(path, store.Keys{}) }
	}
	opened, err := o.OpenStore(c.Data)
	if err != nil {
		return nil, err
	}
	a.store = opened // not before: a nil *store.Store is a Store that is not nil
	if aside := a.store.Aside(); aside != nil {
		o.Log.Error("the database was damaged and is set aside: what it held is fetched again",
			"database", c.Data, "now", aside.Path, "reason", aside.Reason)
		a.metrics.DatabaseSetAside.Set(1)
	}
	if a.grpc == nil {
		if a.grpc, err = c.GRPC.Listen(ctx); err != nil {
			return nil, err
		}
	}
	if a.ops == nil {
		if a.ops, err = c.Ops.Listen(ctx); err != nil {
			return nil, err
		}
	}
	states := new(fanout.Fanout)
	client := wechat.New(wechat.Options{Upstreams: c.Upstreams, CAs: c.UpstreamCAs, Dial: o.DialWeChat, Done: a.metrics.Called})
	byAppID := make(map[string]*keeper.Keeper)
	for _, account := range c.Accounts {
		k := keeper.New(keeper.Options{
			Account:    wechat.Account{AppID: account.AppID, Secret: account.Secret},
			ReadSecret: account.ReadSecret,
			Stable:     account.Stable, Tickets: account.Tickets, SignHosts: account.SignHosts,
			Limits: account.Limits, HalfSpent: a.store.Aside() != nil,
			WeChat: client, Store: a.store, Publish: states.Publish, Clock: o.Clock, Log: o.Log,
		})
		a.keepers = append(a.keepers, k)
		byAppID[account.AppID] = k
	}
	edges := new(rpc.Edges)
	a.server = rpc.NewServer(rpc.Options{
		Fanout: states, Edges: edges, Clock: o.Clock, Log: o.Log,
		Claim: func(appid string, kind credential.Kind, version int64) {
			if k, ok := byAppID[appid]; ok {
				k.Claim(kind, version)
			}
		},
		Report: func(ctx context.Context, appid string, kind credential.Kind, hash [sha256.Size]byte) (v rpc.Versions, known bool, err error) {
			k, ok := byAppID[appid]
			if !ok {
				return rpc.Versions{}, false, nil
			}
			versions, err := k.Report(ctx, kind, hash)
			if errors.Is(err, keeper.ErrUnknownValue) {
				return rpc.Versions{}, false, nil
			}
			return rpc.Versions(versions), true, err
		},
		Operator: &operator.Service{
			Version: o.Version, Started: o.Clock(), Clock: o.Clock,
			Keepers: a.keepers, Edges: edges, Upstreams: client.Upstreams, SetAside: a.store.Aside(),
		},
	})
	a.metrics.Watch(a.keepers, edges, client.Upstreams)
	return a, nil
}

// Status returns the state of an account that the broker keeps.
func (a *App) Status(appid string) keeper.Status {
	for _, k := range a.keepers {
		if status := k.Status(); status.AppID == appid {
			return status
		}
	}
	return keeper.Status{}
}

// Run serves until ctx ends or a listener fails. It stops in the reverse order
// of starting: the streams, the keepers, the ops listener, the database.
func (a *App) Run(ctx context.Context) error {
	a.log.Info("broker is up", "grpc", a.grpc.Addr().String(), "ops", a.ops.Addr().String(), "accounts", len(a.keepers))
	// Each group is stopped when the one started after it has ended.
	opsCtx, stopOps := context.WithCancel(context.WithoutCancel(ctx))
	keepersCtx, stopKeepers := context.WithCancel(context.WithoutCancel(ctx))
	defer stopOps()
	defer stopKeepers()

	group, grpcCtx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return daemon.ServeHTTP(opsCtx, a.ops, daemon.Ops(a.metrics.Registry, func() error { return nil }), a.log)
	})
	var keepers sync.WaitGroup
	for _, k := range a.keepers {
		keepers.Go(func() { k.Run(keepersCtx) })
	}
	group.Go(func() error {
		err := a.server.Run(grpcCtx, a.grpc)
		stopKeepers()
		keepers.Wait()
		stopOps()
		return err
	})
	err := group.Wait()
	a.log.Info("broker stopped")
	return errors.Join(err, a.close())
}

// close closes what is open. Listeners that were served are closed already.
func (a *App) close() error {
	for _, l := range []net.Listener{a.grpc, a.ops} {
		if l != nil {
			_ = l.Close() // closed twice is no error worth telling
		}
	}
	if a.store == nil {
		return nil
	}
	if err := a.store.Close(); err != nil {
		return fmt.Errorf("stopping the broker: %w", err)
	}
	return nil
}
