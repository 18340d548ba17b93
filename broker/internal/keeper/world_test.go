package keeper_test

import (
	"context"
	"log/slog"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/keeper"
	"github.com/wxbroker/wxbroker/broker/internal/store/storetest"
	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/clocktest"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
	"github.com/wxbroker/wxbroker/pkg/wechatsim/simtest"
)

const (
	appid  = "wx0123456789abcdef"
	secret = "0123456789abcdef0123456789abcdef"
)

// world is a keeper in fake time with a WeChat, a disk and a wall clock that a
// test can trouble.
type world struct {
	sim    *wechatsim.Sim
	wechat *simtest.Server // serves sim
	disk   storetest.Disk
	clock  clocktest.Wall

	options keeper.Options
	keeper  *keeper.Keeper
	stop    func() // ends the keeper's Run and waits for it

	mu      sync.Mutex
	current credential.Account
	history []credential.Account
}

// newWorld makes a world in which no keeper runs yet.
func newWorld(t *testing.T, settings wechatsim.Settings, change func(*keeper.Options)) *world {
	t.Helper()
	w := new(world)
	w.sim = wechatsim.New(wechatsim.Config{
		Accounts: []wechatsim.Account{{AppID: appid, Secret: secret}},
		Settings: settings,
	})
	w.wechat = simtest.Serve(t, w.sim)
	w.options = keeper.Options{
		Account: wechat.Account{AppID: appid, Secret: credential.NewSecret(secret)},
		Tickets: []credential.Kind{credential.JSAPITicket},
		WeChat: wechat.New(wechat.Options{
			Upstreams: []*url.URL{{Scheme: "http", Host: "127.0.0.1:1"}},
			Dial:      w.wechat.Dial,
		}),
		Store:   w.disk.Writer(),
		Publish: w.publish,
		Clock:   w.clock.Now,
		Log:     slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&w.options)
	}
	return w
}

// start runs a new keeper over what the disk has, as a restarted broker does.
func (w *world) start(t *testing.T) {
	t.Helper()
	w.keeper = keeper.New(t.Context(), w.options)
	w.run(t)
	synctest.Wait()
}

// run lets the keeper work.
func (w *world) run(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	running, works := sync.WaitGroup{}, w.keeper
	running.Go(func() { works.Run(ctx) })
	w.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})
	t.Cleanup(w.stop)
}

// replace puts a keeper with other options in the place of the one that runs, as
// a change of the configuration does.
func (w *world) replace(t *testing.T, change func(*keeper.Options)) {
	t.Helper()
	w.options.After = w.keeper
	change(&w.options)
	stop, next := w.stop, keeper.New(t.Context(), w.options)
	w.options.After = nil
	w.keeper = next
	w.run(t)
	go stop()
}

func (w *world) publish(a credential.Account) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.current = a
	w.history = append(w.history, a)
}

// get returns the published credential and whether it may still be used.
func (w *world) get(kind credential.Kind) (c credential.Credential, live bool) {
	w.mu.Lock()
	c, ok := w.current.Credential(kind)
	w.mu.Unlock()
	return c, ok && !c.Expiry.Passed(credential.Clock(w.clock.Now).Now())
}

// calls counts what WeChat saw on a path, whatever it answered.
func (w *world) calls(path string) int {
	return w.sim.Count(wechatsim.Call{AppID: appid, API: path})
}

// inject makes calls to WeChat go wrong.
func (w *world) inject(t *testing.T, f wechatsim.Fault) {
	t.Helper()
	if err := w.sim.Inject(f); err != nil {
		t.Fatal(err)
	}
}

// spent returns what the keeper's status says of an API.
func (w *world) spent(api wechat.API) keeper.Spent {
	for _, b := range w.keeper.Status().Budget {
		if b.API == api {
			return b
		}
	}
	return keeper.Spent{}
}

// china is where WeChat's day begins.
var china = time.FixedZone("UTC+8", 8*60*60)

// untilMidnight lets a day of WeChat's begin. A bubble begins at eight in the
// morning there, on the first of a year.
func untilMidnight() {
	year, month, day := time.Now().In(china).Date()
	time.Sleep(time.Until(time.Date(year, month, day+1, 0, 0, 0, 0, china)))
}

// during runs check every so often for d.
func during(d, every time.Duration, check func(elapsed time.Duration)) {
	for elapsed := time.Duration(0); elapsed < d; elapsed += every {
		time.Sleep(every) // fake time
		synctest.Wait()
		check(elapsed + every)
	}
}
