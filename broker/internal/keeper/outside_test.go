package keeper_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/keeper"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

// died returns how often values of a kind died early in the last day.
func (w *world) died(kind credential.Kind) int {
	for _, s := range w.keeper.Status().Kinds {
		if s.Kind == kind {
			return s.EarlyDeaths(w.clock.Now())
		}
	}
	return 0
}

// blamed reports whether an operator is told that somebody else is at work.
func (w *world) blamed() bool {
	return strings.Contains(strings.Join(w.keeper.Status().Advice(w.clock.Now()), "\n"), "something else refreshes this appid")
}

// TestSomethingElseRefreshes: what kills our values again and again is named,
// also after a restart, until it has been quiet for a day.
func TestSomethingElseRefreshes(t *testing.T) {
	for _, tt := range []struct {
		name   string
		stable bool
		kind   credential.Kind
		again  time.Duration // how often it strikes in three hours
		strike func(*wechatsim.Sim) error
	}{
		{"a script that fetches classic tokens", false, credential.AccessToken, 20 * time.Minute, func(s *wechatsim.Sim) error { return s.RotateToken(appid) }},
		{"a platform that forces stable tokens", true, credential.AccessToken, 20 * time.Minute, func(s *wechatsim.Sim) error { return s.ForceToken(appid) }},
		{"somebody who ends tickets", true, credential.JSAPITicket, 40 * time.Minute, func(s *wechatsim.Sim) error { return s.KillTicket(appid, wechatsim.JSAPI) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, wechatsim.Settings{}, func(o *keeper.Options) { o.Stable = tt.stable })
				w.start(t)
				time.Sleep(30 * time.Minute)
				strikes := 0
				during(3*time.Hour, tt.again, func(time.Duration) {
					if err := tt.strike(w.sim); err != nil {
						t.Fatal(err)
					}
					strikes++
					if strikes == 1 {
						time.Sleep(16 * time.Minute) // ten until the next reading, five of overlap
						synctest.Wait()
						if w.died(tt.kind) != 1 || w.blamed() {
							t.Errorf("after the first time: %d early deaths, advice %q", w.died(tt.kind), w.keeper.Status().Advice(w.clock.Now()))
						}
					}
				})
				time.Sleep(16 * time.Minute)
				synctest.Wait()
				n := w.died(tt.kind)
				if n < 2 || n > strikes || !w.blamed() {
					t.Errorf("struck %d times: %d early deaths, advice %q", strikes, n, w.keeper.Status().Advice(w.clock.Now()))
				}
				w.stop()
				w.start(t)
				if w.died(tt.kind) != n || !w.blamed() {
					t.Errorf("after a restart: %d early deaths, advice %q", w.died(tt.kind), w.keeper.Status().Advice(w.clock.Now()))
				}
				time.Sleep(20 * time.Hour)
				synctest.Wait()
				if !w.blamed() {
					t.Error("forgotten within a day")
				}
				time.Sleep(4 * time.Hour)
				synctest.Wait()
				if w.died(tt.kind) != 0 || w.blamed() {
					t.Errorf("a quiet day later: %d early deaths, advice %q", w.died(tt.kind), w.keeper.Status().Advice(w.clock.Now()))
				}
			})
		})
	}
}

// TestOnceADayIsNoOutsideRefresher: what died early more than a day ago is
// forgotten when the next one dies, so nobody is blamed and nothing grows.
func TestOnceADayIsNoOutsideRefresher(t *testing.T) {
	for _, tt := range []struct {
		kind   credential.Kind
		strike func(*wechatsim.Sim) error
	}{
		{credential.AccessToken, func(s *wechatsim.Sim) error { return s.KillToken(appid, wechatsim.Stable) }},
		{credential.JSAPITicket, func(s *wechatsim.Sim) error { return s.KillTicket(appid, wechatsim.JSAPI) }},
	} {
		t.Run(string(tt.kind), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, wechatsim.Settings{}, stable)
				var log bytes.Buffer
				w.options.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelError}))
				w.start(t)
				for n := range 4 {
					time.Sleep(25 * time.Hour)
					if err := tt.strike(w.sim); err != nil {
						t.Fatal(err)
					}
					token, _ := w.get(tt.kind)
					w.report(t, token, true)
					for _, s := range w.keeper.Status().Kinds {
						if s.Kind == tt.kind && len(s.EarlyEnds) != 1 {
							t.Errorf("strike %d: %d early deaths are remembered, want the one of today", n+1, len(s.EarlyEnds))
						}
					}
					if w.blamed() {
						t.Errorf("strike %d: somebody is blamed", n+1)
					}
				}
				if log.Len() > 0 {
					t.Errorf("the log blames somebody: %s", &log)
				}
			})
		})
	}
}

// TestAnOrdinaryDayBlamesNobody: what WeChat replaces in its own time, and what
// is replaced while we look away, did not die early.
func TestAnOrdinaryDayBlamesNobody(t *testing.T) {
	both := []credential.Kind{credential.JSAPITicket, credential.WXCardTicket}
	for _, isStable := range []bool{false, true} {
		for _, fresh := range []bool{false, true} {
			for _, restarts := range []bool{false, true} {
				t.Run(fmt.Sprintf("stable %v, fresh-looking %v, restarts %v", isStable, fresh, restarts), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						w := newWorld(t, wechatsim.Settings{FreshTicketExpiry: fresh}, func(o *keeper.Options) { o.Stable, o.Tickets = isStable, both })
						w.start(t)
						during(day, 7*time.Minute, func(elapsed time.Duration) {
							if restarts {
								w.stop()
								time.Sleep(2 * time.Minute)
								w.start(t)
							}
							for _, s := range w.keeper.Status().Kinds {
								if len(s.EarlyEnds) != 0 {
									t.Fatalf("after %v a %s is said to have died early", elapsed, s.Kind)
								}
							}
						})
						if w.blamed() {
							t.Error("somebody is blamed")
						}
					})
				})
			}
		}
	}
}
