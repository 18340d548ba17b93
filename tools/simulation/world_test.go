package simulation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/broker/brokertest"
	"github.com/wxbroker/wxbroker/edge/edgetest"
	"github.com/wxbroker/wxbroker/pkg/clocktest"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
	"github.com/wxbroker/wxbroker/pkg/wechatsim/simtest"
	"github.com/wxbroker/wxbroker/tools/internal/network"
)

const (
	appid     = "wx0123456789abcdef"
	numEdges  = 3
	localKey  = "key-of-the-simulation"
	firstWord = "0123456789abcdef0123456789abcdef" // the AppSecret at the start
)

// world is one seed's broker, edges and WeChat in a synctest bubble.
type world struct {
	t       *testing.T
	profile profile
	start   time.Time
	history *history

	sim     *wechatsim.Sim
	faults  []*wechatsim.Fault // injected now
	latency time.Duration      // of WeChat's answers when nothing is wrong
	config  brokertest.Config
	disk    *brokertest.Disk
	wechat  *simtest.Server
	edges   []*edge
	events  []event // to come, in order

	clock     clocktest.Wall // the broker's
	latest    time.Time      // the latest time that this clock ever showed
	hostsDown atomic.Int32   // how many faults keep the first host down
	secret    *brokertest.SecretFile
	reset     string // the AppSecret at WeChat since somebody reset it
	calls     *calls

	mu     sync.Mutex
	broker *brokertest.Broker // nil while there is none
	full   int                // how many faults fill the disk
	plan   *crash             // the next crash, nil for none
	dead   bool               // the broker was cut and is not buried yet
	died   chan struct{}      // closed when the broker that was started last is cut

	diskGate, logGate gate // what hangs waits there

	underway       int           // faults that are not over
	disturbed      int           // faults so far
	lifetime       time.Duration // of tokens
	ticketLifetime time.Duration
	tickets        int       // kinds of ticket that the broker keeps
	classic        bool      // the broker uses the classic token
	calmFrom       time.Time // when the consequences of faults have to be over
	linkSince      time.Time // since when broker and network have been as they are
	rotation       time.Time // when the last successful call was made

	noTokenUntil time.Time // a token call before that would be due to a restart
	tokens       int       // the number of token calls when noTokenUntil was set

	values    map[credential.Kind][]string    // that edges held, the oldest first
	published map[credential.Kind]heldVersion // as of the last check
	calmSince time.Time                       // zero while it is not calm
}

// edge is one edge and what was seen of it.
type edge struct {
	*edgetest.Edge
	name     string
	net      *network.Network
	clock    clocktest.Wall
	versions map[credential.Kind]int64
	holding  *holdingLog
	// uneven is set from a step of the edge's clock, or of the broker's, until it is calm.
	// Meanwhile the edge may give up what it holds, until the broker sends it again.
	uneven bool
	deaf   bool // the edge's network has failed
}

// heldVersion is a version, and since when the broker has it.
type heldVersion struct {
	version int64
	since   time.Time
}

// event is something that happens at a moment of the schedule.
type event struct {
	at   time.Duration // from the start
	name string        // "" for an event that gets no line in the history
	do   func(*world)
}

// run lives through one seed.
func run(t *testing.T, seed uint64, p profile, days int, calls *calls) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 0))                        //nolint:gosec // a seed is to be repeated
	time.Sleep(time.Duration(r.Int64N(int64(24 * time.Hour)))) // WeChat's midnight comes at any time
	w := &world{
		t: t, profile: p, start: time.Now(), history: new(history),
		calls: calls, published: map[credential.Kind]heldVersion{}, values: map[credential.Kind][]string{}, calmFrom: time.Now(),
	}
	w.history.start = w.start
	defer func() {
		if t.Failed() {
			t.Logf("history of seed %d (%s), repeat it with: make simulate SEEDS=1 FIRST=%d\n%s", seed, p.name, seed, w.history)
		}
	}()
	dir, err := os.MkdirTemp(memory(), "wxbroker-simulation-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	w.secret = brokertest.NewSecretFile(firstWord)
	duration := time.Duration(days) * 24 * time.Hour
	settings, account := p.settings(r), brokertest.Account{
		AppID: appid, Classic: r.IntN(2) == 0, Secrets: w.secret,
		Tickets: []credential.Kind{credential.JSAPITicket}, Limits: p.limits,
	}
	if r.IntN(3) == 0 {
		account.Tickets = append(account.Tickets, credential.WXCardTicket)
	}
	w.events = schedule(r, p, duration)
	w.history.addf("seed %d, %s, classic %v, %d tickets, %+v", seed, p.name, account.Classic, len(account.Tickets), settings)

	w.lifetime, w.ticketLifetime = cmp.Or(settings.TokenLifetime, 2*time.Hour), cmp.Or(settings.TicketLifetime, 2*time.Hour)
	w.tickets, w.classic = len(account.Tickets), account.Classic
	w.startWeChat(settings)
	w.latency = 20*time.Millisecond + time.Duration(r.Int64N(int64(500*time.Millisecond)))
	w.inject()
	w.disk = &brokertest.Disk{File: p.crashes, Write: w.write}
	w.config = brokertest.Config{
		Data: filepath.Join(dir, "wxbroker.db"), Disk: w.disk, Accounts: []brokertest.Account{account},
		DialWeChat: w.dialWeChat, Clock: w.clock.Now,
	}
	var closeLog func()
	w.config.Log, closeLog = w.openLog()
	defer closeLog()
	w.startBroker()
	for i := range numEdges {
		w.edges = append(w.edges, &edge{name: fmt.Sprintf("edge-%d", i)})
		w.startEdge(w.edges[i])
	}
	w.live(duration)
	w.diskGate.release()
	w.logGate.release()
	for _, e := range w.edges {
		e.Stop()
	}
	if w.broker != nil {
		w.broker.Stop()
	}
}

// live lets time pass, event by event and minute by minute.
func (w *world) live(duration time.Duration) {
	for w.elapsed() < duration {
		next := w.start.Add(w.elapsed().Truncate(time.Minute) + time.Minute)
		if len(w.events) > 0 {
			next = earlier(next, w.start.Add(w.events[0].at))
		}
		// Two seconds after a call that may have brought a new value.
		if at := w.lastCall().Add(2100 * time.Millisecond); at.After(time.Now()) {
			next = earlier(next, at)
		}
		time.Sleep(time.Until(next))
		synctest.Wait()
		for len(w.events) > 0 && w.events[0].at <= w.elapsed() {
			now := w.events[0]
			w.events = w.events[1:]
			if now.name != "" {
				w.history.addf("%s", now.name)
			}
			now.do(w)
			synctest.Wait()
			w.afterCrash()
			w.check()
		}
		w.afterCrash()
		w.check()
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func (w *world) setFull(change int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.full += change
}

func (w *world) elapsed() time.Duration { return time.Since(w.start) }

func (w *world) lastCall() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rotation
}

// after schedules something for d from now.
func (w *world) after(d time.Duration, name string, do func(*world)) {
	e := event{w.elapsed() + d, name, do}
	i, _ := slices.BinarySearchFunc(w.events, e, func(a, b event) int {
		if a.at <= b.at {
			return -1
		}
		return 1
	})
	w.events = slices.Insert(w.events, i, e)
}

// disturb says that a fault begins. over says that it has ended. Its consequences may last
// that long after its end.
func (w *world) disturb(consequences time.Duration) (over func()) {
	w.underway++
	w.disturbed++
	w.calmSince, w.noTokenUntil = time.Time{}, time.Time{}
	return func() {
		w.underway--
		if until := time.Now().Add(consequences); until.After(w.calmFrom) {
			w.calmFrom = until
		}
	}
}

// link notes that some connection has changed.
func (w *world) link() { w.linkSince = time.Now() }

// fail ends the seed.
func (w *world) failf(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("after %v: "+format, append([]any{w.elapsed()}, args...)...)
}

func (w *world) startWeChat(settings wechatsim.Settings) {
	w.sim = wechatsim.New(wechatsim.Config{
		Accounts: []wechatsim.Account{{AppID: appid, Secret: firstWord}}, Settings: settings, OnCall: w.called,
	})
	w.wechat = simtest.Serve(w.t, w.sim)
}

// dialWeChat connects to one of WeChat's two hosts.
func (w *world) dialWeChat(ctx context.Context, protocol, host string) (net.Conn, error) {
	if host == "wechat.invalid:80" && w.hostsDown.Load() > 0 {
		return nil, errors.New("no route to host")
	}
	return w.wechat.Dial(ctx, protocol, host)
}

func (w *world) startBroker() {
	w.link()
	w.mu.Lock()
	w.died = make(chan struct{})
	w.mu.Unlock()
	b := brokertest.Start(w.t, w.config)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broker = b
	w.calls.started()
}

// dial reaches the broker that runs now.
func (w *world) dial(ctx context.Context) (net.Conn, error) {
	w.mu.Lock()
	b := w.broker
	w.mu.Unlock()
	if b == nil {
		return nil, errors.New("connection refused")
	}
	return b.Dial(ctx)
}

func (w *world) startEdge(e *edge) {
	e.net = network.New(w.dial)
	e.versions = map[credential.Kind]int64{}
	e.holding = new(holdingLog)
	e.Edge = edgetest.Start(w.t, edgetest.Config{
		Name: e.name, Dial: e.net.Dial, LocalKeys: localKey,
		Log:   slog.New(&historian{h: w.history, who: e.name, heard: e.holding.heard}),
		Clock: e.clock.Now,
	})
	w.link()
}

// memory returns a directory for files that need not survive the machine. A thousand days
// of fsync would take long on a disk.
func memory() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return ""
}
