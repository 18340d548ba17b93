package keeper_test

import (
	"crypto/sha256"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/keeper"
	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

// TestTakeOver: a keeper that takes another's place goes on with all that the
// other held, though the disk has nothing of it.
func TestTakeOver(t *testing.T) {
	cards := func(o *keeper.Options) {
		o.Tickets = []credential.Kind{credential.JSAPITicket, credential.WXCardTicket}
	}
	for _, tt := range []struct {
		name   string
		before func(*keeper.Options)
		change func(*keeper.Options)
		gone   bool // the ticket is
	}{
		{"from classic to stable", nil, stable, false},
		{"from stable to classic", stable, func(o *keeper.Options) { o.Stable = false }, false},
		{"another ticket", nil, cards, false},
		{"no ticket", nil, func(o *keeper.Options) { o.Tickets = nil }, true},
		{"other limits", nil, func(o *keeper.Options) { o.Limits = keeper.Limits{wechat.TicketAPI: 100} }, false},
	} {
		for _, disk := range []struct {
			name    string
			trouble func(*world) (over func())
		}{
			{"a sound disk", func(*world) func() { return func() {} }},
			{"a full disk", func(w *world) func() { w.disk.Fill(true); return func() { w.disk.Fill(false) } }},
			{"a disk that hangs", func(w *world) func() { return w.disk.Hang() }},
		} {
			t.Run(tt.name+", "+disk.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, wechatsim.Settings{}, tt.before)
					over := disk.trouble(w)
					defer over()
					w.start(t)
					time.Sleep(20 * time.Minute)
					synctest.Wait()
					token, _ := w.get(credential.AccessToken)
					ticket, _ := w.get(credential.JSAPITicket)
					calls, spent := w.allCalls(), w.spent(wechat.TicketAPI).Used
					w.report(t, token, true) // a probe is spent

					w.replace(t, tt.change)
					synctest.Wait()
					for _, c := range []credential.Credential{token, ticket} {
						again, live := w.get(c.Kind)
						if wanted := c.Kind != credential.JSAPITicket || !tt.gone; live != wanted || live && (again.Version != c.Version || !again.Value.Equal(c.Value)) {
							t.Errorf("the %s has version %d, want %d; live %v", c.Kind, again.Version, c.Version, live)
						}
					}
					most := 1 // the probe
					if len(w.options.Tickets) > 1 {
						most++ // the other ticket
					}
					if n := w.allCalls() - calls; n > most {
						t.Errorf("%d calls were made", n)
					}
					if n := w.spent(wechat.TicketAPI).Used; n < spent || w.spent(wechat.ProbeAPI).Used != 1 {
						t.Errorf("%d of %d ticket calls are remembered, and %d probes", n, spent, w.spent(wechat.ProbeAPI).Used)
					}
					during(5*time.Hour, time.Minute, func(elapsed time.Duration) {
						if c, live := w.get(credential.AccessToken); !live || !w.sim.TokenAlive(c.Value.Reveal()) {
							t.Fatalf("after %v there is no live token", elapsed)
						}
						for _, kind := range w.options.Tickets {
							if _, live := w.get(kind); !live {
								t.Fatalf("after %v there is no live %s", elapsed, kind)
							}
						}
					})
					w.neverBack(t)
					if died := w.keeper.Status().Kinds[0].EarlyEnds; len(died) > 0 {
						t.Error("somebody else is blamed for it")
					}
				})
			})
		}
	}
}

// neverBack checks that no version that was published is below an earlier one.
func (w *world) neverBack(t *testing.T) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	highest := map[credential.Kind]int64{}
	for _, state := range w.history {
		for _, c := range state.Credentials {
			if c.Version < highest[c.Kind] {
				t.Fatalf("the %s went back from version %d to %d", c.Kind, highest[c.Kind], c.Version)
			}
			highest[c.Kind] = c.Version
		}
	}
}

// TestTakeOverBesideACall: a call that is under way comes to its end, and nobody
// who asks meanwhile is turned away.
func TestTakeOverBesideACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, wechatsim.Settings{}, nil)
		w.start(t)
		time.Sleep(time.Second)
		token, _ := w.get(credential.AccessToken)
		w.inject(t, wechatsim.Fault{Kind: wechatsim.FaultDelay, Duration: 3 * time.Second, Path: wechatsim.PathToken})
		time.Sleep(w.keeper.Status().Kinds[0].NextTry.Sub(w.clock.Now()) + time.Second) // the token is being renewed
		old := w.keeper
		start := time.Now()
		for range 3 { // twice while the first still works
			w.replace(t, func(o *keeper.Options) { o.Limits = keeper.Limits{wechat.TokenAPI: 100} })
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("whoever replaces a keeper waits %v for it", took)
		}
		if got := w.keeper.Status(); len(got.Kinds) != 2 || got.Kinds[0].Version != token.Version {
			t.Errorf("meanwhile the status is %+v", got)
		}
		for name, ask := range map[string]func() error{
			"settle":  func() error { return old.Settle(t.Context()) },
			"refresh": func() error { return old.Refresh(t.Context(), false) },
			"report": func() error {
				_, err := old.Report(t.Context(), credential.AccessToken, sha256.Sum256([]byte(token.Value.Reveal())))
				return err
			},
		} {
			if err := ask(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		renewed, live := w.get(credential.AccessToken)
		if !live || renewed.Version == token.Version || !w.sim.TokenAlive(renewed.Value.Reveal()) {
			t.Error("the call that was under way brought nothing")
		}
		if n := w.calls(wechatsim.PathToken); n != 2 {
			t.Errorf("%d token calls", n)
		}
		if got := w.spent(wechat.TokenAPI); got.Used != 2 || got.Limit != 100 {
			t.Errorf("spent %+v", got)
		}
		w.neverBack(t)
		w.stop()
		if err := old.Settle(t.Context()); !errors.Is(err, keeper.ErrStopped) {
			t.Errorf("after the last keeper's end: %v", err)
		}
	})
}

// TestTakeOverOfClaims: what edges proved to the keeper before is not forgotten.
func TestTakeOverOfClaims(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, wechatsim.Settings{}, nil)
		w.start(t)
		ticket, _ := w.get(credential.JSAPITicket)
		claimed := ticket.Version + int64(10*time.Minute/time.Millisecond)
		w.inject(t, wechatsim.Fault{Kind: wechatsim.FaultHang, Path: wechatsim.PathTicket, Count: 1})
		time.Sleep(10*time.Minute + time.Second) // the ticket is being read
		w.keeper.Claim(credential.JSAPITicket, claimed)
		w.replace(t, func(o *keeper.Options) { o.Limits = keeper.Limits{wechat.TokenAPI: 100} })
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if again, live := w.get(credential.JSAPITicket); !live || again.Version <= claimed {
			t.Errorf("version %d is not above %d, which an edge holds", again.Version, claimed)
		}
	})
}
