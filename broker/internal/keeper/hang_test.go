package keeper_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/keeper"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

// TestADiskThatHangs for hours costs no credential, and is nothing that anybody
// waits for: not WeChat's answers, not reports, not the end.
func TestADiskThatHangs(t *testing.T) {
	for _, tt := range []struct {
		name    string
		change  func(*keeper.Options)
		running bool // before the disk hangs
	}{
		{"classic, while it runs", nil, true},
		{"stable, while it runs", stable, true},
		{"classic, from the start on", nil, false},
		{"stable, from the start on", stable, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, wechatsim.Settings{TokenLifetime: 20 * time.Minute, TicketLifetime: 15 * time.Minute}, tt.change)
				answer := func() {}
				if !tt.running {
					answer = w.disk.Hang()
				}
				defer func() { answer() }() //nolint:gocritic // it becomes another
				start := time.Now()
				w.start(t)
				if took := time.Since(start); took > time.Second {
					t.Errorf("the start took %v", took)
				}
				time.Sleep(65 * time.Second) // nothing is called in the first minute as long as it cannot be counted
				if tt.running {
					answer = w.disk.Hang()
				}
				time.Sleep(5 * time.Second)
				hung := len(w.disk.Writes())
				kinds := []credential.Kind{credential.AccessToken, credential.JSAPITicket}
				before := map[credential.Kind]int64{}
				for _, kind := range kinds {
					c, _ := w.get(kind)
					before[kind] = c.Version
				}
				during(4*time.Hour, 20*time.Second, func(elapsed time.Duration) {
					for _, kind := range kinds {
						if c, live := w.get(kind); !live || kind == credential.AccessToken && !w.sim.TokenAlive(c.Value.Reveal()) {
							t.Fatalf("after %v there is no live %s: %v", elapsed, kind, w.keeper.Status().Advice(w.clock.Now()))
						}
					}
				})
				for _, kind := range kinds {
					if c, _ := w.get(kind); c.Version == before[kind] {
						t.Errorf("the %s was never renewed", kind)
					}
				}
				if n := len(w.disk.Writes()) - hung; n > 1 {
					t.Errorf("%d writes piled up", n)
				}
				for _, k := range w.keeper.Status().Kinds {
					if !k.Unsaved {
						t.Errorf("nobody is told that the %s is not saved", k.Kind)
					}
				}
				if still := time.Since(w.keeper.Turned()); still > time.Minute {
					t.Errorf("the keeper has not turned for %v", still)
				}

				answer()
				time.Sleep(20 * time.Second)
				synctest.Wait()
				for _, k := range w.keeper.Status().Kinds {
					if k.Unsaved {
						t.Errorf("the %s is not saved though the disk answers again", k.Kind)
					}
				}
				token, _ := w.get(credential.AccessToken)
				answer = w.disk.Hang()
				start = time.Now()
				w.stop()
				if took := time.Since(start); took > 5*time.Second {
					t.Errorf("the end took %v", took)
				}
				answer()
				synctest.Wait()
				calls := w.allCalls()
				w.current = credential.Account{}
				w.start(t)
				if again, live := w.get(credential.AccessToken); !live || again.Version != token.Version || w.allCalls() != calls {
					t.Errorf("after a restart the token has version %d, want %d, with %d calls", again.Version, token.Version, w.allCalls()-calls)
				}
			})
		})
	}
}

// TestADiskThatHangsAtTheWorstMoment: what is written late does not undo what was
// decided since.
func TestADiskThatHangsAtTheWorstMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, wechatsim.Settings{}, nil)
		w.start(t)
		time.Sleep(time.Minute)
		answer := w.disk.Hang()
		w.disk.Fill(true) // what is under way when it hangs is refused in the end
		for range 3 {
			if err := w.sim.KillToken(appid, wechatsim.Classic); err != nil {
				t.Fatal(err)
			}
			time.Sleep(12 * time.Minute) // the ticket is read again, and the token found dead
		}
		synctest.Wait()
		w.disk.Fill(false)
		answer()
		time.Sleep(time.Minute)
		synctest.Wait()
		token, live := w.get(credential.AccessToken)
		if !live || !w.sim.TokenAlive(token.Value.Reveal()) {
			t.Fatal("there is no live token")
		}
		w.stop()
		w.current = credential.Account{}
		w.start(t)
		if again, live := w.get(credential.AccessToken); !live || !again.Value.Equal(token.Value) || again.Version != token.Version {
			t.Errorf("after a restart the token has version %d, want %d", again.Version, token.Version)
		}
	})
}
