package keeper_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

func (w *world) allCalls() int { return w.sim.Count(wechatsim.Call{AppID: appid}) }

func TestARestartCostsNoCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, wechatsim.Settings{}, nil)
		w.start(t)
		token, _ := w.get(credential.AccessToken)
		ticket, _ := w.get(credential.JSAPITicket)
		calls := w.allCalls()
		for range 100 {
			w.stop()
			w.current = credential.Account{}
			w.start(t)
			time.Sleep(time.Second)
		}
		again, live := w.get(credential.AccessToken)
		if again.Version != token.Version || !again.Value.Equal(token.Value) || !live {
			t.Error("the token did not survive")
		}
		if again, live := w.get(credential.JSAPITicket); again.Version != ticket.Version || !live {
			t.Error("the ticket did not survive")
		}
		if n := w.allCalls() - calls; n != 0 {
			t.Errorf("100 restarts made %d calls", n)
		}
	})
}

// TestFailureKeepsWhatIsGood: whatever WeChat answers, a value that it still
// honours stays published, and it is not stormed.
func TestFailureKeepsWhatIsGood(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault wechatsim.Fault
		most  int // calls in the hour before the token expires
	}{
		{"busy", wechatsim.Fault{Kind: wechatsim.FaultCode, Code: -1}, 300},
		{"quota spent", wechatsim.Fault{Kind: wechatsim.FaultCode, Code: 45009}, 6},
		{"address refused", wechatsim.Fault{Kind: wechatsim.FaultCode, Code: 40164}, 25},
		{"secret changed", wechatsim.Fault{Kind: wechatsim.FaultCode, Code: 40125}, 25},
		{"never heard of", wechatsim.Fault{Kind: wechatsim.FaultCode, Code: 99999}, 25},
		{"broken", wechatsim.Fault{Kind: wechatsim.FaultStatus, Status: 502}, 300},
		{"HTML", wechatsim.Fault{Kind: wechatsim.FaultHTML}, 300},
		{"silent", wechatsim.Fault{Kind: wechatsim.FaultHang}, 300},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, wechatsim.Settings{}, nil)
				w.start(t)
				first, _ := w.get(credential.AccessToken)
				if err := w.sim.Inject(tt.fault); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Hour - time.Second)
				calls := w.allCalls()
				during(time.Hour, 5*time.Second, func(elapsed time.Duration) {
					token, live := w.get(credential.AccessToken)
					if token.Version != first.Version {
						t.Fatal("the version changed though WeChat gave nothing")
					}
					if left := time.Hour - elapsed; left > 2*time.Second && !live {
						t.Fatalf("given up %v before it expires", left)
					}
				})
				if n := w.allCalls() - calls; n == 0 || n > tt.most {
					t.Errorf("%d calls in the last hour, want 1 to %d", n, tt.most)
				}
				w.sim.ClearFaults()
				time.Sleep(time.Hour + time.Minute) // the longest back-off is the quota's
				synctest.Wait()
				if token, live := w.get(credential.AccessToken); !live || !w.sim.TokenAlive(token.Value.Reveal()) {
					t.Error("not recovered once WeChat works again")
				}
			})
		})
	}
}

// TestFullDisk: the value is served all the same and persisted when there is
// room again.
func TestFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, wechatsim.Settings{}, nil)
		w.disk.Fill(true)
		w.start(t)
		time.Sleep(59 * time.Second)
		synctest.Wait()
		if n := w.allCalls(); n != 0 {
			t.Fatalf("%d calls in the first minute, though nobody would remember them", n)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if _, live := w.get(credential.JSAPITicket); !live {
			t.Fatal("not published though WeChat gave it")
		}
		for _, s := range w.keeper.Status().Kinds {
			if !s.Unsaved {
				t.Errorf("%s does not say that it is unsaved", s.Kind)
			}
		}
		w.disk.Fill(false)
		time.Sleep(11 * time.Second)
		synctest.Wait()
		for _, s := range w.keeper.Status().Kinds {
			if s.Unsaved {
				t.Errorf("%s is still unsaved", s.Kind)
			}
		}
		calls := w.allCalls()
		w.stop()
		w.start(t)
		if w.allCalls() != calls {
			t.Error("what was persisted late was not there after a restart")
		}
	})
}

// TestClockSteps: whatever the wall clock does, no dead ticket is published as
// live and WeChat is not stormed.
func TestClockSteps(t *testing.T) {
	for _, step := range []time.Duration{-24 * time.Hour, -time.Hour, time.Hour, 3 * time.Hour, 24 * time.Hour} {
		t.Run(step.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, wechatsim.Settings{}, stable)
				w.start(t)
				time.Sleep(30 * time.Minute)
				before, _ := w.get(credential.JSAPITicket)
				calls := w.allCalls()
				w.clock.Step(step)
				during(4*time.Hour, time.Second, func(elapsed time.Duration) {
					ticket, live := w.get(credential.JSAPITicket)
					if live && !w.sim.TicketAlive(ticket.Value.Reveal()) {
						t.Fatalf("after %v a dead ticket is published as live", elapsed)
					}
					if !live && elapsed > time.Minute+time.Second {
						t.Fatalf("after %v there is no live ticket", elapsed)
					}
					if ticket.Version < before.Version {
						t.Fatalf("after %v the version went back", elapsed)
					}
				})
				// A clock that went forward makes the ticket look old, so it is
				// read every 30 s until WeChat has another, 90 minutes later.
				if n := w.allCalls() - calls; n > 90*2+40 {
					t.Errorf("%d calls in the four hours after the step", n)
				}
			})
		})
	}
}

// TestStaleDatabase: an edge that holds a newer version proves it.
func TestStaleDatabase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, wechatsim.Settings{}, stable)
		w.start(t)
		backup := w.disk.Values()
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		newest, _ := w.get(credential.JSAPITicket)
		w.stop()
		w.disk.Replace(backup)
		w.start(t)
		w.keeper.Claim(credential.JSAPITicket, newest.Version)
		time.Sleep(time.Second)
		synctest.Wait()
		healed, live := w.get(credential.JSAPITicket)
		if healed.Version <= newest.Version || !live || !w.sim.TicketAlive(healed.Value.Reveal()) {
			t.Errorf("version %d, live %v: want one above %d", healed.Version, live, newest.Version)
		}

		calls := w.allCalls()
		for i := range int64(100) { // a hostile or confused edge
			w.keeper.Claim(credential.JSAPITicket, healed.Version+i)
			w.keeper.Claim(credential.JSAPITicket, w.clock.Now().Add(25*time.Hour).UnixMilli())
			time.Sleep(10 * time.Millisecond)
		}
		synctest.Wait()
		if n := w.allCalls() - calls; n > 1 {
			t.Errorf("100 claims in a second made %d calls", n)
		}
		// A claim has its effect with the next call, a minute after the one before.
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if n := w.allCalls() - calls; n == 0 {
			t.Fatal("no claim had any effect: this test shows nothing")
		}
		if now, _ := w.get(credential.JSAPITicket); now.Version > w.clock.Now().Add(time.Hour).UnixMilli() {
			t.Errorf("a claim of tomorrow was believed: version %d", now.Version)
		}
	})
}

// TestStopWaitsForTheCallUnderWay: WeChat has already replaced the token when
// its answer is on the way. But nobody waits for an answer that does not come.
func TestStopWaitsForTheCallUnderWay(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault wechatsim.Fault
		took  time.Duration
		saved bool
	}{
		{"that is slow", wechatsim.Fault{Kind: wechatsim.FaultDelay, Duration: 5900 * time.Millisecond}, 4900 * time.Millisecond, true},
		{"that never ends", wechatsim.Fault{Kind: wechatsim.FaultHang}, 5 * time.Second, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, wechatsim.Settings{}, nil)
				w.inject(t, tt.fault)
				w.start(t)
				time.Sleep(time.Second)
				start := time.Now()
				w.stop()
				if took := time.Since(start); took != tt.took {
					t.Errorf("it stopped after %v, want %v", took, tt.took)
				}
				if saved := w.disk.Get(appid, string(credential.AccessToken)) != ""; saved != tt.saved {
					t.Errorf("the token that WeChat handed out is stored: %v", saved)
				}
			})
		})
	}
}
