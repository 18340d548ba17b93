package keeper_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/keeper"
	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

// TestAClockSetBackWhileDown: a broker starts hours after the one before, and
// its wall clock says that no time has passed, or less than none. The ticket
// that it finds is dead, and nothing says so but the database's own dates: it
// must not be handed out before WeChat was asked.
func TestAClockSetBackWhileDown(t *testing.T) {
	for _, tt := range []struct {
		name string
		back time.Duration // how far before the death the clock is at the start
		live bool          // the values are handed out as they were
	}{
		{"by an hour more than was missed", time.Hour, false},
		{"by a minute more than was missed", time.Minute, false},
		{"by a second, which is no more than clocks do", time.Second, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, wechatsim.Settings{}, nil)
				w.start(t)
				time.Sleep(55 * time.Minute)
				synctest.Wait()
				before, _ := w.get(credential.JSAPITicket)
				w.stop()
				w.current = credential.Account{}
				time.Sleep(3 * time.Hour)
				w.clock.Step(-3*time.Hour - 5*time.Minute - tt.back) // the last reading was 5 minutes before the stop
				w.inject(t, wechatsim.Fault{Kind: wechatsim.FaultHang})
				w.start(t)
				if _, live := w.get(credential.JSAPITicket); live != tt.live {
					t.Errorf("the ticket is handed out: %v, want %v", live, tt.live)
				}
				if tt.live {
					return
				}
				// WeChat stays silent until the clock has caught up, and the broker
				// starts once more.
				w.stop()
				time.Sleep(tt.back + 10*time.Minute)
				w.start(t)
				if _, live := w.get(credential.JSAPITicket); live {
					t.Error("the ticket is handed out once the clock has caught up")
				}
				w.sim.ClearFaults()
				time.Sleep(2 * time.Minute)
				synctest.Wait()
				after, live := w.get(credential.JSAPITicket)
				if !live || !w.sim.TicketAlive(after.Value.Reveal()) || after.Version <= before.Version {
					t.Error("not recovered once WeChat answers")
				}
			})
		})
	}
}

// TestWhatIsStoredOfTheFuture holds nothing up for longer than it would have
// without: the wall clock was set back while the broker was down.
func TestWhatIsStoredOfTheFuture(t *testing.T) {
	force := func(t *testing.T, w *world) error { t.Helper(); return w.keeper.Refresh(t.Context(), true) }
	hasToken := func(t *testing.T, w *world) error {
		t.Helper()
		if token, live := w.get(credential.AccessToken); !live || !w.sim.TokenAlive(token.Value.Reveal()) {
			return errors.New("there is no token")
		}
		return nil
	}
	for _, tt := range []struct {
		name   string
		code   int           // that WeChat answers before, 0 for none
		back   time.Duration // how far the clock is set
		wait   time.Duration // the longest there would be
		before func(*testing.T, *world) error
		after  func(*testing.T, *world) error
	}{
		{"a forced refresh, which is the last for 30 seconds", 0, 10 * day, 30 * time.Second, force, force},
		{"a call that is one of a few that are left", -1, 9 * time.Hour, 3 * time.Hour, nil, hasToken},
		{"a ban, which is a day's at most", 89506, 10 * day, day, nil, hasToken},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, wechatsim.Settings{}, func(o *keeper.Options) {
					stable(o)
					o.Limits = keeper.Limits{wechat.StableTokenAPI: 100}
				})
				untilMidnight()
				w.start(t)
				if tt.code != 0 {
					w.inject(t, wechatsim.Fault{Kind: wechatsim.FaultCode, Path: wechatsim.PathStableToken, Code: tt.code})
				}
				time.Sleep(10 * time.Hour)
				if tt.before != nil {
					if err := tt.before(t, w); err != nil {
						t.Fatal(err)
					}
				}
				w.stop()
				w.clock.Step(-tt.back)
				w.sim.ClearFaults()
				w.start(t)
				time.Sleep(tt.wait + time.Second)
				synctest.Wait()
				if err := tt.after(t, w); err != nil {
					t.Errorf("%v later: %v", tt.wait, err)
				}
			})
		})
	}
}

// TestALostAnswerIsNoOutsideRefresher: WeChat replaces the classic token and we
// do not hear of it, so ours dies early. It was our own doing.
func TestALostAnswerIsNoOutsideRefresher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, wechatsim.Settings{}, nil)
		w.start(t)
		time.Sleep(100 * time.Minute)
		w.inject(t, wechatsim.Fault{Kind: wechatsim.FaultLost, Path: wechatsim.PathToken})
		time.Sleep(17 * time.Minute) // it is due, and for longer than the old one's overlap
		w.sim.ClearFaults()
		time.Sleep(20 * time.Minute)
		synctest.Wait()
		if token, live := w.get(credential.AccessToken); !live || !w.sim.TokenAlive(token.Value.Reveal()) {
			t.Error("not recovered")
		}
		if n := w.calls(wechatsim.PathDomainIP); n == 0 {
			t.Fatal("the token was not found to be refused: this test shows nothing")
		}
		for _, s := range w.keeper.Status().Kinds {
			if len(s.EarlyEnds) > 0 {
				t.Errorf("a %s counts as ended by somebody else", s.Kind)
			}
		}
	})
}

// TestALostAnswerOfTheFuture: WeChat's answer with a ticket is lost, and the wall
// clock is set back while the broker is down. Whenever the call was, the ticket then
// ends in its own time, and nobody else ended it.
func TestALostAnswerOfTheFuture(t *testing.T) {
	for _, back := range []time.Duration{0, time.Hour, 10 * day} {
		t.Run(fmt.Sprint("set back by ", back), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, wechatsim.Settings{FreshTicketExpiry: true}, stable)
				w.inject(t, wechatsim.Fault{Kind: wechatsim.FaultLost, Path: wechatsim.PathTicket})
				w.start(t)
				w.stop()
				if n := w.calls(wechatsim.PathTicket); n == 0 {
					t.Fatal("no ticket was asked for: this test shows nothing")
				}
				w.sim.ClearFaults()
				w.clock.Step(-back)
				w.start(t)
				before, _ := w.get(credential.JSAPITicket)
				during(3*time.Hour, 10*time.Minute, func(elapsed time.Duration) {
					if n := w.died(credential.JSAPITicket); n > 0 {
						t.Fatalf("after %v a ticket counts as ended by somebody else", elapsed)
					}
				})
				if after, live := w.get(credential.JSAPITicket); !live || after.Version <= before.Version {
					t.Errorf("the ticket has not been replaced: live %v, version %d after %d", live, after.Version, before.Version)
				}
			})
		})
	}
}

// TestARestartRevivesNoRefusedToken: what WeChat refused stays refused though
// there is no other yet.
func TestARestartRevivesNoRefusedToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, wechatsim.Settings{}, nil)
		w.start(t)
		token, _ := w.get(credential.AccessToken)
		if err := w.sim.KillToken(appid, wechatsim.Classic); err != nil {
			t.Fatal(err)
		}
		w.inject(t, wechatsim.Fault{Kind: wechatsim.FaultCode, Path: wechatsim.PathToken, Code: 40164})
		w.report(t, token, false)
		w.stop()
		w.start(t)
		time.Sleep(time.Second)
		synctest.Wait()
		if _, live := w.get(credential.AccessToken); live {
			t.Error("a restart made the refused token live again")
		}
		if n := w.died(credential.AccessToken); n != 1 {
			t.Errorf("%d early deaths are remembered, want 1", n)
		}
		w.sim.ClearFaults()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if token, live := w.get(credential.AccessToken); !live || !w.sim.TokenAlive(token.Value.Reveal()) {
			t.Error("not replaced once WeChat gives another")
		}
	})
}
