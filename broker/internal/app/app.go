package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/broker/internal/audit"
	"github.com/wxbroker/wxbroker/broker/internal/calls"
	"github.com/wxbroker/wxbroker/broker/internal/config"
	"github.com/wxbroker/wxbroker/broker/internal/edges"
	"github.com/wxbroker/wxbroker/broker/internal/fanout"
	"github.com/wxbroker/wxbroker/broker/internal/keeper"
	"github.com/wxbroker/wxbroker/broker/internal/operator"
	"github.com/wxbroker/wxbroker/broker/internal/ops"
	"github.com/wxbroker/wxbroker/broker/internal/relay"
	"github.com/wxbroker/wxbroker/broker/internal/rpc"
	"github.com/wxbroker/wxbroker/broker/internal/snapshot"
	"github.com/wxbroker/wxbroker/broker/internal/store"
	"github.com/wxbroker/wxbroker/broker/internal/streams"
	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/daemon"
	"github.com/wxbroker/wxbroker/pkg/tlsfile"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// Options are what a test may replace; the zero value is for production but
// for Version and Log.
type Options struct {
	Version string
	Log     *slog.Logger
	// Collectors are further metrics to show, such as those of the log.
	Collectors []prometheus.Collector
	// Clock is the wall clock, nil for the machine's.
	Clock credential.Clock
	// DialWeChat opens connections to the upstreams, nil for the network.
	DialWeChat func(ctx context.Context, network, address string) (net.Conn, error)
	// Follow is the file that the configuration is read again from while the broker
	// runs; nil for a configuration that stays as it is.
	Follow *Followed
	// GRPC and Ops are listened on instead of the configured addresses.
	GRPC, Ops net.Listener
	// OpenStore opens the database, nil for a file.
	OpenStore func(path string, keys store.Keys) (store.Disk, store.Findings, error)
}

// App is a broker that has opened what it needs and serves once Run is called.
type App struct {
	log           *slog.Logger
	clock         credential.Clock
	configuration currentConfig
	followed      *Followed // nil for a configuration that stays as it is
	access        *access.Control
	store         *store.Writer
	states        fanout.Fanout
	accounts      accounts
	relay         *relay.Relay
	tls           *tlsfile.Source // nil for plain text
	server        *rpc.Server
	metrics       *ops.Metrics
	grpc, ops     net.Listener
}

// New opens the listeners and the database, restores what the database has,
// and wires the rest. Nothing is served and WeChat is not called before Run.
// On an error nothing stays open.
func New(ctx context.Context, c config.Config, o Options) (_ *App, err error) {
	if o.Clock == nil {
		o.Clock = credential.WallClock
	}
	a := &App{
		log: o.Log, clock: o.Clock, access: access.NewControl(c.Policy, o.Clock), followed: o.Follow,
		grpc: o.GRPC, ops: o.Ops, metrics: ops.New(o.Version),
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.close())
		}
	}()
	a.use(ctx, c)
	secured, err := a.secure(ctx, c.TLS)
	if err != nil {
		return nil, err
	}
	found, err := a.open(c, o)
	if err != nil {
		return nil, err
	}
	if err := a.listen(ctx, c); err != nil {
		return nil, err
	}
	// Today's counts are lost with the database, but only those of accounts that were
	// in it: not of an account that is added later.
	lost := found.Lost()
	client := wechat.New(wechat.Options{Upstreams: c.Upstreams, CAs: c.UpstreamCAs, Dial: o.DialWeChat, Done: a.metrics.Called})
	a.accounts.publish, a.accounts.forget, a.accounts.log = a.states.Publish, a.states.Remove, o.Log
	a.accounts.newKeeper = func(account config.Account, after *keeper.Keeper, publish func(credential.Account)) *keeper.Keeper {
		return keeper.New(ctx, keeper.Options{
			Account: wechat.Account{AppID: account.AppID, Secret: account.Secret},
			Stable:  account.Stable, Tickets: account.Tickets,
			Limits: account.Limits, HalfSpent: lost, After: after,
			WeChat: client, Store: a.store, Publish: publish, Clock: o.Clock, Log: o.Log,
		})
	}
	a.accounts.apply(c.Accounts)
	lost = false
	keys := &relay.Keys{Store: a.store, Log: o.Log}
	a.relay = relay.New(relay.Options{
		WeChat: client, Account: a.states.Account, Keeper: a.accounts.keeper, Store: a.store, Keys: keys, Clock: o.Clock, Log: o.Log,
	})
	source := &snapshot.Source{
		Version: o.Version, Started: o.Clock(), Clock: o.Clock, Keepers: a.accounts.list, Configuration: a.configuration.state,
		Edges: new(edges.Register), Upstreams: client.Upstreams, SetAside: found.Aside,
	}
	told := audit.New(o.Log)
	edgeStreams := streams.New(streams.Options{
		Fanout: &a.states, Edges: source.Edges, Claim: a.accounts.claim, Report: a.accounts.report, AliasKey: keys.Alias,
		Access: a.access, Audit: told, Clock: o.Clock, Log: o.Log,
	})
	appCalls := &calls.Service{Relay: a.relay, Access: a.access, Audit: told}
	operators := &operator.Service{Source: source, Relay: a.relay, Access: a.access}
	a.server = rpc.NewServer(rpc.Options{
		Services: []rpc.Service{
			{Desc: &wxbrokerv1.CredentialService_ServiceDesc, Server: edgeStreams, Needs: streams.Needs(), Stop: edgeStreams.Stop},
			{Desc: &wxbrokerv1.WeChatService_ServiceDesc, Server: appCalls, Needs: calls.Needs()},
			{Desc: &wxbrokerv1.OperatorService_ServiceDesc, Server: operators, Needs: operator.Needs()},
		},
		Access: a.access, Audit: told, TLS: secured, Version: o.Version,
	})
	a.metrics.Watch(source)
	a.metrics.Registry.MustRegister(append(o.Collectors, told)...)
	return a, nil
}

// secure reads the TLS files; nil is plain text.
func (a *App) secure(ctx context.Context, files tlsfile.Files) (*tls.Config, error) {
	if files == (tlsfile.Files{}) {
		return nil, nil
	}
	source, warnings, err := tlsfile.Load(ctx, files)
	if err != nil {
		return nil, err
	}
	for _, w := range warnings {
		a.log.Warn("TLS needs attention", "what", w)
	}
	a.tls, a.access.Trusts = source, source.VerifyClient
	a.metrics.Registry.MustRegister(source.Collector("wxbroker", "grpc"))
	return source.Server()
}

// open opens the database and logs what is wrong with it.
func (a *App) open(c config.Config, o Options) (store.Findings, error) {
	if o.OpenStore == nil {
		o.OpenStore = func(path string, keys store.Keys) (store.Disk, store.Findings, error) { return store.Open(path, keys) }
	}
	opened, found, err := o.OpenStore(c.Data, c.Keys)
	if err != nil {
		return found, err
	}
	a.store = store.NewWriter(opened)
	if aside := found.Aside; aside != nil {
		a.log.Error("the database was damaged and is set aside: what it held is fetched again",
			"database", c.Data, "now", aside.Path, "reason", aside.Reason)
	}
	if found.Unreadable != nil {
		a.log.Error("the database cannot be read: what it held is fetched again", "database", c.Data, "reason", found.Unreadable)
	}
	if found.Full != nil {
		a.log.Error("there is no database, and no room for one: everything is kept in memory and lost with this process, until there is room on the volume",
			"database", c.Data, "reason", found.Full)
	}
	for _, w := range found.Warnings {
		a.log.Warn("database", "database", c.Data, "warning", w)
	}
	return found, nil
}

// listen opens the listeners that were not given, and caps both.
func (a *App) listen(ctx context.Context, c config.Config) (err error) {
	if a.grpc == nil {
		if a.grpc, err = c.GRPC.Listen(ctx); err != nil {
			return err
		}
	}
	if a.ops == nil {
		if a.ops, err = c.Ops.Listen(ctx); err != nil {
			return err
		}
	}
	connections := daemon.NewConnections("wxbroker")
	a.metrics.Registry.MustRegister(connections)
	maximum, warning := daemon.FitConnections(c.MaxConnections)
	if warning != "" {
		a.log.Warn("listen.max_connections is lowered", "what", warning)
	}
	a.grpc = connections.Limit("grpc", a.grpc, maximum)
	a.ops = connections.Limit("ops", a.ops, daemon.OpsConnections)
	return nil
}

// Status returns the state of an account that the broker keeps.
func (a *App) Status(appid string) keeper.Status {
	if k := a.accounts.keeper(appid); k != nil {
		return k.Status()
	}
	return keeper.Status{}
}

// Run serves until ctx ends or a listener fails. It stops in the reverse order
// of starting: the streams, the keepers, the ops listener, the database.
func (a *App) Run(ctx context.Context) error {
	a.log.Info("broker is up", "grpc", a.grpc.Addr().String(), "ops", a.ops.Addr().String(),
		"accounts", len(a.accounts.list()), "apps", a.configuration.inUse().Policy.Apps(), "tls", a.tls != nil)
	// Each group is stopped when the one started after it has ended.
	opsCtx, stopOps := context.WithCancel(context.WithoutCancel(ctx))
	keepersCtx, stopKeepers := context.WithCancel(context.WithoutCancel(ctx))
	defer stopOps()
	defer stopKeepers()

	group, grpcCtx := errgroup.WithContext(ctx)
	ready := func() error {
		if grpcCtx.Err() != nil {
			return errors.New("stopping")
		}
		return nil
	}
	group.Go(func() error {
		return daemon.ServeHTTP(opsCtx, a.ops, daemon.Ops(a.metrics.Registry, a.accounts.healthy, ready), a.log)
	})
	waitForKeepers := a.accounts.run(keepersCtx)
	var counting sync.WaitGroup
	counting.Go(func() { a.relay.Run(keepersCtx) })
	// Files are followed until the streams have ended, and no longer: a change of the
	// configuration changes keepers, which are stopped after that.
	followCtx, stopFollowing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopFollowing()
	var following sync.WaitGroup
	if a.tls != nil {
		following.Go(func() { a.tls.Run(followCtx, a.log) })
	}
	if a.followed != nil {
		following.Go(func() { a.follow(followCtx) })
	}
	group.Go(func() error {
		err := a.server.Run(grpcCtx, a.grpc)
		stopFollowing()
		following.Wait()
		stopKeepers()
		waitForKeepers()
		counting.Wait()
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
