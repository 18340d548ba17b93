package keeper_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/keeper"
	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

// TestAForcedRefreshIsNotHeldBackByTheCallBeforeIt: the stable token is stuck
// dead, and only force ends that. What spaces calls out must not come between
// the call that shows it and the call that mends it.
func TestAForcedRefreshIsNotHeldBackByTheCallBeforeIt(t *testing.T) {
	for _, tt := range []struct {
		name    string
		trouble func(*testing.T, *world)
	}{
		{"the disk is full", func(_ *testing.T, w *world) { w.disk.Fill(true) }},
		{"three quarters of the day's calls are spent", func(t *testing.T, w *world) {
			w.inject(t, wechatsim.Fault{Kind: wechatsim.FaultCode, Path: wechatsim.PathStableToken, Code: -1})
			w.sim.Change(func(s *wechatsim.Settings) { s.TokenLifetime = 2 * time.Hour })
			time.Sleep(8 * time.Hour)
			w.sim.ClearFaults()
			time.Sleep(20 * time.Minute)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, wechatsim.Settings{}, func(o *keeper.Options) {
					stable(o)
					o.Limits = keeper.Limits{wechat.StableTokenAPI: 1000}
				})
				forced := w.watchForces()
				untilMidnight()
				w.start(t)
				time.Sleep(10 * time.Minute)
				tt.trouble(t, w)
				w.inject(t, wechatsim.Fault{Kind: wechatsim.FaultDelay, Duration: 200 * time.Millisecond})
				if err := w.sim.KillStuckToken(appid); err != nil {
					t.Fatal(err)
				}
				time.Sleep(15 * time.Minute) // the next reading of the ticket, and what follows
				synctest.Wait()
				if token, live := w.get(credential.AccessToken); !live || !w.sim.TokenAlive(token.Value.Reveal()) {
					t.Errorf("not replaced: %v", w.keeper.Status().Advice(w.clock.Now()))
				}
				if n := w.spent(wechat.ForceRefreshAPI).Used; n != 1 || len(*forced) != 1 {
					t.Errorf("%d forced refreshes were made and %d counted, want one", len(*forced), n)
				}
			})
		})
	}
}

// TestTheReserveIsReachedWhenTheValueDies: scheduled work has stopped for the
// day, and the ticket dies before midnight. What was kept for that is used then.
func TestTheReserveIsReachedWhenTheValueDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, wechatsim.Settings{}, func(o *keeper.Options) { o.Limits = keeper.Limits{wechat.TicketAPI: 200} })
		untilMidnight()
		w.inject(t, wechatsim.Fault{Kind: wechatsim.FaultCode, Path: wechatsim.PathTicket, Code: -1})
		w.start(t)
		time.Sleep(18 * time.Hour)
		synctest.Wait()
		if n := w.spent(wechat.TicketAPI).Used; n < 150 {
			t.Fatalf("only %d calls are spent: this test shows nothing", n)
		}
		w.sim.ClearFaults()
		time.Sleep(45 * time.Minute) // the pace of what is left
		during(5*time.Hour, time.Minute, func(elapsed time.Duration) {
			if _, live := w.get(credential.JSAPITicket); !live {
				t.Fatalf("%v later there is no ticket, and %d of 200 calls are spent", elapsed, w.spent(wechat.TicketAPI).Used)
			}
		})
	})
}

// TestTheReserveIsForTheLastMinuteToo: all scheduled calls are spent, and the
// value is in the last minute of its life. What is kept for recovery renews it
// before it is over, not afterwards.
func TestTheReserveIsForTheLastMinuteToo(t *testing.T) {
	const limit, lifetime = 100, day - time.Minute
	for _, tt := range []struct {
		kind credential.Kind
		path string
		set  wechatsim.Settings
	}{
		{credential.AccessToken, wechatsim.PathStableToken, wechatsim.Settings{TokenLifetime: lifetime}},
		{credential.JSAPITicket, wechatsim.PathTicket, wechatsim.Settings{TokenLifetime: 5 * day, TicketLifetime: lifetime}},
	} {
		t.Run(string(tt.kind), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, tt.set, func(o *keeper.Options) {
					stable(o)
					o.Limits = keeper.Limits{wechat.APIAt(tt.path): limit}
				})
				untilMidnight()
				w.start(t)
				w.inject(t, wechatsim.Fault{Kind: wechatsim.FaultCode, Path: tt.path, Code: -1})
				first, _ := w.get(tt.kind)
				began := time.Now()
				for _, at := range []time.Duration{0, lifetime - 20*time.Minute} { // the calls fail, and are tried again all day
					time.Sleep(at - time.Since(began))
					if err := w.keeper.Refresh(t.Context(), false); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(lifetime - time.Minute - time.Second - time.Since(began))
				synctest.Wait()
				if n := w.calls(tt.path); n != limit-limit/10 {
					t.Fatalf("%d calls are spent: this test shows nothing", n)
				}
				w.sim.ClearFaults()
				w.inject(t, wechatsim.Fault{Kind: wechatsim.FaultDelay, Duration: 2 * time.Second})
				during(2*time.Minute, time.Second, func(elapsed time.Duration) {
					if _, live := w.get(tt.kind); !live {
						t.Fatalf("there is none %v before it should have expired", time.Minute-elapsed)
					}
				})
				if now, _ := w.get(tt.kind); now.Version == first.Version {
					t.Error("it was not renewed")
				}
			})
		})
	}
}

// TestAClockThatIsMendedOnceIsMended: calls that were counted by a clock a day
// ahead lie in the future for a day. Only the first start may ask WeChat anew.
func TestAClockThatIsMendedOnceIsMended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, wechatsim.Settings{}, nil)
		w.clock.Step(24 * time.Hour)
		w.start(t)
		time.Sleep(10 * time.Minute)
		token, _ := w.get(credential.AccessToken)
		w.report(t, token, true) // a probe, which is not made again
		time.Sleep(10 * time.Minute)
		w.stop()
		w.clock.Step(-24 * time.Hour)
		for range 6 {
			w.start(t)
			time.Sleep(30 * time.Second)
			synctest.Wait()
			w.stop()
		}
		if n := w.calls(wechatsim.PathToken); n != 2 {
			t.Errorf("%d token calls, want one at first and one after the clock was mended", n)
		}
	})
}

// TestARestartEndsNoWaitOfWeChats: a day's ban, or an hour until the quota is
// worth another try, is not over because the broker starts anew.
func TestARestartEndsNoWaitOfWeChats(t *testing.T) {
	for _, tt := range []struct {
		name string
		code int
		most int // calls in 100 minutes
	}{
		{"a day", 89506, 1},
		{"an hour", 89507, 2},
		{"the quota", 45009, 3},
		{"nothing that WeChat asked for", 40164, 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, wechatsim.Settings{}, nil)
				w.inject(t, wechatsim.Fault{Kind: wechatsim.FaultCode, Path: wechatsim.PathToken, Code: tt.code})
				for range 100 {
					w.start(t)
					time.Sleep(time.Minute)
					synctest.Wait()
					if k := w.keeper.Status().Kinds[0]; k.LastError == nil || int(k.LastError.Code) != tt.code || k.Since.IsZero() {
						t.Fatalf("the status does not say why there is no token: %+v", k)
					}
					w.stop()
				}
				if n := w.calls(wechatsim.PathToken); n > tt.most || tt.most == 200 && n < 100 {
					t.Errorf("%d calls in 100 restarts, want at most %d", n, tt.most)
				}
			})
		})
	}
}

// TestValuesOfUnknownAgeAreShown: nothing is handed out, and the status says so.
func TestValuesOfUnknownAgeAreShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, wechatsim.Settings{}, nil)
		w.start(t)
		time.Sleep(10 * time.Minute)
		w.stop()
		w.clock.Step(-15 * time.Minute)
		w.inject(t, wechatsim.Fault{Kind: wechatsim.FaultCode, Code: -1})
		w.start(t)
		for _, k := range w.keeper.Status().Kinds {
			if !k.Undated || !k.Gone(w.clock.Now()) {
				t.Errorf("the %s looks good: %+v", k.Kind, k)
			}
		}
		if n := len(w.keeper.Status().Advice(w.clock.Now())); n != 2 {
			t.Errorf("%d sentences of advice, want one for each", n)
		}
	})
}

// TestAnOlderValueIsAnsweredAtOnce: also while the keeper waits for WeChat.
func TestAnOlderValueIsAnsweredAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, wechatsim.Settings{}, nil)
		w.start(t)
		old, _ := w.get(credential.AccessToken)
		time.Sleep(2 * time.Hour)
		w.inject(t, wechatsim.Fault{Kind: wechatsim.FaultHang})
		for range 300 {
			time.Sleep(7 * time.Second)
			began := time.Now()
			if _, err := w.keeper.Report(t.Context(), credential.AccessToken, hashOf(old)); err != nil || time.Since(began) > 0 {
				t.Fatalf("answered %v after %v", err, time.Since(began))
			}
		}
	})
}

// TestABanOfTokenCallsHoldsWhenTheTokenDies: WeChat forbids token calls for an
// hour, and then the old token is refused.
func TestABanOfTokenCallsHoldsWhenTheTokenDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, wechatsim.Settings{}, nil)
		w.start(t)
		w.inject(t, wechatsim.Fault{Kind: wechatsim.FaultCode, Path: wechatsim.PathToken, Code: 89507})
		time.Sleep(111 * time.Minute)
		synctest.Wait()
		calls := w.calls(wechatsim.PathToken)
		if err := w.sim.KillToken(appid, wechatsim.Classic); err != nil {
			t.Fatal(err)
		}
		time.Sleep(8 * time.Minute)
		synctest.Wait()
		if w.calls(wechatsim.PathDomainIP) == 0 {
			t.Fatal("the token was not found to be refused: this test shows nothing")
		}
		if n := w.calls(wechatsim.PathToken) - calls; n != 0 {
			t.Errorf("%d token calls within the hour", n)
		}
	})
}
