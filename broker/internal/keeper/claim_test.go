package keeper_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/keeper"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

// claimable is what an edge can say that it holds.
type claimable struct {
	name   string
	stable bool
	kind   credential.Kind
	path   string
	// between is the shortest time between two calls, whatever is claimed. Each
	// call replaces the classic token, and WeChat honours the one before for five
	// minutes: a second call within them would end it.
	between time.Duration
}

var claimables = []claimable{
	{"classic token", false, credential.AccessToken, wechatsim.PathToken, 5 * time.Minute},
	{"stable token", true, credential.AccessToken, wechatsim.PathStableToken, time.Minute},
	{"ticket", true, credential.JSAPITicket, wechatsim.PathTicket, time.Minute},
}

// world returns one with a keeper that has fetched everything just now.
func (c claimable) world(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, wechatsim.Settings{}, func(o *keeper.Options) { o.Stable = c.stable })
	w.start(t)
	return w
}

// version returns the published version, which WeChat has to honour.
func (c claimable) version(t *testing.T, w *world) int64 {
	t.Helper()
	got, live := w.get(c.kind)
	value := got.Value.Reveal()
	if !live || !w.sim.TokenAlive(value) && !w.sim.TicketAlive(value) {
		t.Errorf("version %d is not one that WeChat honours", got.Version)
	}
	return got.Version
}

// TestAClaimIsMintedAboveInItsTime: the next version lies above what an edge
// holds, be that ahead of the clock, and no claim makes the keeper call sooner
// than it should.
func TestAClaimIsMintedAboveInItsTime(t *testing.T) {
	for _, c := range claimables {
		for _, age := range []time.Duration{0, c.between / 2, c.between + 10*time.Second} {
			t.Run(fmt.Sprint(c.name, " of ", age), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := c.world(t)
					last := time.Now()
					time.Sleep(age)
					for round := range int64(3) {
						calls, claimed := w.calls(c.path), w.clock.Now().Add(time.Hour).UnixMilli()+1000*round
						w.keeper.Claim(c.kind, claimed-1)
						w.keeper.Claim(c.kind, claimed)
						if wait := c.between - time.Since(last); wait > 0 {
							time.Sleep(wait - time.Second)
							synctest.Wait()
							if n := w.calls(c.path) - calls; n != 0 {
								t.Fatalf("claim %d: %d calls within %v of the one before", round+1, n, c.between)
							}
							time.Sleep(time.Second)
						}
						synctest.Wait()
						last = time.Now()
						if n := w.calls(c.path) - calls; n != 1 {
							t.Errorf("claim %d: %d calls, want one", round+1, n)
						}
						if got := c.version(t, w); got <= claimed {
							t.Errorf("claim %d: version %d is not above the %d that an edge holds", round+1, got, claimed)
						}
					}
				})
			})
		}
	}
}

// TestAClaimBeforeTheFirstValue is not forgotten until there is one.
func TestAClaimBeforeTheFirstValue(t *testing.T) {
	for _, c := range claimables {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, wechatsim.Settings{}, func(o *keeper.Options) { o.Stable = c.stable })
				w.inject(t, wechatsim.Fault{Kind: wechatsim.FaultCode, Path: c.path, Code: -1})
				w.start(t)
				claimed := w.clock.Now().Add(time.Hour).UnixMilli()
				w.keeper.Claim(c.kind, claimed)
				time.Sleep(5 * time.Minute)
				w.sim.ClearFaults()
				time.Sleep(2 * time.Minute)
				synctest.Wait()
				if got := c.version(t, w); got <= claimed {
					t.Errorf("version %d is not above the %d that an edge holds", got, claimed)
				}
			})
		})
	}
}

// TestWhichClaimsAreBelieved: one that is too far ahead of the clock would push
// every later version into the future, and what the keeper has is no news.
func TestWhichClaimsAreBelieved(t *testing.T) {
	ahead := func(d time.Duration) func(*world, int64) int64 {
		return func(w *world, _ int64) int64 { return w.clock.Now().Add(d).UnixMilli() }
	}
	for _, c := range claimables {
		for _, tt := range []struct {
			name     string
			claim    func(w *world, own int64) int64
			believed bool
		}{
			{"as far ahead as may be", ahead(24 * time.Hour), true},
			{"too far ahead", ahead(24*time.Hour + time.Millisecond), false},
			{"beyond all time", func(*world, int64) int64 { return 1<<63 - 1 }, false},
			{"the next one", func(_ *world, own int64) int64 { return own + 1 }, true},
			{"the keeper's own", func(_ *world, own int64) int64 { return own }, false},
			{"an older one", func(_ *world, own int64) int64 { return own - 1 }, false},
			{"none", func(*world, int64) int64 { return 0 }, false},
		} {
			t.Run(c.name+", "+tt.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := c.world(t)
					own, calls := c.version(t, w), w.calls(c.path)
					claimed := tt.claim(w, own)
					w.keeper.Claim(c.kind, claimed)
					time.Sleep(c.between + time.Second)
					synctest.Wait()
					switch got := c.version(t, w); {
					case tt.believed && got <= claimed:
						t.Errorf("version %d is not above the %d that an edge holds", got, claimed)
					case !tt.believed && (got != own || w.calls(c.path) != calls):
						t.Errorf("version %d became %d with %d calls", own, got, w.calls(c.path)-calls)
					}
				})
			})
		}
	}
}
