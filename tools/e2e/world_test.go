package e2e

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/broker/brokertest"
	"github.com/wxbroker/wxbroker/edge/edgetest"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
	"github.com/wxbroker/wxbroker/pkg/wechatsim/simtest"
	"github.com/wxbroker/wxbroker/tools/internal/page"
)

const (
	appid   = "wx0123456789abcdef"
	secret  = "0123456789abcdef0123456789abcdef"
	pageURL = page.URL
)

var quiet = slog.New(slog.DiscardHandler)

// world is a simulated WeChat, a broker and edges in one synctest bubble.
type world struct {
	sim    *wechatsim.Sim
	config brokertest.Config
	edges  []*edgetest.Edge

	mu     sync.Mutex
	broker *brokertest.Broker // nil while there is none
}

// newWorld starts WeChat. The broker and the edges are the test's to start.
func newWorld(t *testing.T, settings wechatsim.Settings, account brokertest.Account) *world {
	t.Helper()
	account.AppID, account.Secret = appid, secret
	w := &world{sim: wechatsim.New(wechatsim.Config{
		Accounts: []wechatsim.Account{{AppID: appid, Secret: secret}},
		Settings: settings,
	})}
	w.config = brokertest.Config{
		Data:       filepath.Join(t.TempDir(), "wxbroker.db"),
		Accounts:   []brokertest.Account{account},
		DialWeChat: simtest.Serve(t, w.sim).Dial,
		Clock:      time.Now, Log: quiet,
	}
	return w
}

func (w *world) startBroker(t *testing.T) {
	t.Helper()
	b := brokertest.Start(t, w.config)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broker = b
}

func (w *world) stopBroker() {
	w.mu.Lock()
	b := w.broker
	w.broker = nil
	w.mu.Unlock()
	b.Stop()
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

func (w *world) startEdges(t *testing.T, n int) {
	t.Helper()
	for i := range n {
		w.edges = append(w.edges, edgetest.Start(t, edgetest.Config{
			Name: fmt.Sprintf("edge-%d", i), Dial: w.dial, Clock: time.Now, Log: quiet,
		}))
	}
}

type signature = page.Signature

func sign(t *testing.T, e *edgetest.Edge) signature {
	t.Helper()
	s, err := page.Sign(t.Context(), e.Handler())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// accepted asks WeChat whether it accepts the signature now.
func (w *world) accepted(s signature) error {
	verdict := s.Judge(w.sim)
	if !verdict.Accepted {
		return errors.New(verdict.Reason)
	}
	return nil
}

// allSign checks that every edge signs and that WeChat accepts it.
func (w *world) allSign(t *testing.T, when string) {
	t.Helper()
	for i, e := range w.edges {
		s := sign(t, e)
		if s.Status != http.StatusOK || s.URL != pageURL {
			t.Fatalf("%s: edge %d answered %+v", when, i, s)
		}
		if err := w.accepted(s); err != nil {
			t.Fatalf("%s: WeChat refuses what edge %d signed: %v", when, i, err)
		}
	}
}

func (w *world) calls(path string) int {
	return w.sim.Count(wechatsim.Call{AppID: appid, API: path})
}

// pass lets fake time go by and waits until nothing is under way.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
