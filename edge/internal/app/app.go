package app

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/wxbroker/wxbroker/edge/internal/audit"
	"github.com/wxbroker/wxbroker/edge/internal/broker"
	"github.com/wxbroker/wxbroker/edge/internal/httpapi"
	"github.com/wxbroker/wxbroker/edge/internal/localkey"
	"github.com/wxbroker/wxbroker/edge/internal/ops"
	"github.com/wxbroker/wxbroker/edge/internal/signing"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/daemon"
	"github.com/wxbroker/wxbroker/pkg/watch"
)

// Config is what an edge needs.
type Config struct {
	Broker      string // target of the stream, of reports and of calls
	Dial        []grpc.DialOption
	AppIDs      []string         // accounts served, none for all that are granted
	Keys        *localkey.Source // nil for none
	Name        string
	Version     string
	Log         *slog.Logger
	Clock       credential.Clock
	Listen, Ops net.Listener
	// Follow has the functions that follow the files of the configuration. They run
	// beside the edge.
	Follow []func(context.Context, *slog.Logger)
	// Collectors are metrics of the listeners, the files and the log.
	Collectors []prometheus.Collector
	// BrokerTLS and ListenTLS say, for the log, whether Dial and Listen use TLS.
	BrokerTLS, ListenTLS bool
}

// App is an edge. It serves once Run is called.
type App struct {
	Config

	client   *watch.Client
	broker   *broker.Client // nil without local keys
	state    *signing.State
	absences absences
	metrics  *ops.Metrics
	api      http.Handler
}

// New wires an edge. Nothing is served and nobody is called before Run.
func New(c Config) (*App, error) {
	a := &App{Config: c, state: signing.New(c.AppIDs, c.Clock), absences: absences{c.Log, c.AppIDs, map[string]bool{}}}
	kinds := []credential.Kind{credential.JSAPITicket}
	if c.Keys != nil { // without local keys nobody here may have these
		kinds = credential.Kinds()
	}
	a.client = watch.New(watch.Options{
		Target: c.Broker, Dial: c.Dial, AppIDs: c.AppIDs, Kinds: kinds, Calls: c.Keys != nil,
		Name: fit(c.Name, maxName), Version: fit(c.Version, maxVersion), Clock: c.Clock, Log: c.Log,
		Apply: a.apply,
	})
	a.metrics = ops.New(c.Version, a.state, a.client.Connected)
	trail := audit.New(c.Log)
	a.metrics.Registry.MustRegister(append(c.Collectors, trail)...)
	api := &httpapi.API{State: a.state, Keys: c.Keys, Audit: trail.Write, Answered: a.metrics.Answered}
	a.api = api
	if c.Keys != nil { // without local keys nobody may report, or let the broker call WeChat
		var err error
		if a.broker, err = broker.New(c.Broker, c.Version, c.Dial); err != nil {
			return nil, err
		}
		api.Broker = a.broker
	}
	return a, nil
}

// The longest texts that the broker accepts, in bytes.
const (
	maxName    = 128
	maxVersion = 64
)

// fit cuts s to length bytes. It leaves no half character at the end: gRPC does not
// send a message in which a string is not UTF-8.
func fit(s string, length int) string {
	return strings.ToValidUTF8(s[:min(len(s), length)], "")
}

// apply takes a new state from the stream and logs what is new in it.
func (a *App) apply(accounts []credential.Account) {
	before := make(map[string]int64)
	for _, account := range a.state.Accounts() {
		for _, c := range account.Credentials {
			before[account.AppID+string(c.Kind)] = c.Version
		}
	}
	a.state.Apply(accounts)
	a.absences.note(accounts)
	for _, account := range accounts {
		for _, c := range account.Credentials {
			if before[account.AppID+string(c.Kind)] != c.Version {
				a.Log.Info("holding", "appid", account.AppID, "kind", c.Kind, "version", c.Version)
			}
		}
	}
}

// Handler returns the HTTP API.
func (a *App) Handler() http.Handler { return a.api }

// Ready returns why the edge is not ready, nil if it is.
func (a *App) Ready() error { return a.state.Ready() }

// Held returns the newest state from the broker.
func (a *App) Held() []credential.Account { return a.state.Accounts() }

// Run serves until ctx ends or a listener fails. Then it stops in the reverse
// order of starting: requests under way are answered, reports, calls and the
// stream end and files are followed no longer, the ops listener closes.
func (a *App) Run(ctx context.Context) error {
	a.Log.Info("edge is up", "listen", a.Listen.Addr().String(), "ops", a.Ops.Addr().String(), "broker", a.Broker,
		"broker_tls", a.BrokerTLS, "listen_tls", a.ListenTLS)
	opsCtx, stopOps := context.WithCancel(context.WithoutCancel(ctx))
	streamCtx, stopStream := context.WithCancel(context.WithoutCancel(ctx))
	defer stopOps()
	defer stopStream()

	group, apiCtx := errgroup.WithContext(ctx)
	ready := func() error {
		if apiCtx.Err() != nil {
			return errors.New("stopping")
		}
		return a.Ready()
	}
	group.Go(func() error {
		return daemon.ServeHTTP(opsCtx, a.Ops, daemon.Ops(a.metrics.Registry, func() error { return nil }, ready), a.Log)
	})
	var stream sync.WaitGroup
	stream.Go(func() { a.client.Run(streamCtx) })
	for _, follow := range a.Follow {
		stream.Go(func() { follow(streamCtx, a.Log) })
	}
	group.Go(func() error {
		err := daemon.ServeHTTP(apiCtx, a.Listen, a.api, a.Log)
		if a.broker != nil {
			a.broker.Close()
		}
		stopStream()
		stream.Wait()
		stopOps()
		return err
	})
	err := group.Wait()
	a.Log.Info("edge stopped")
	return err
}
