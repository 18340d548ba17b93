package keeper_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/keeper"
	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

// TestMidnightRenews: what is spent today stands in nobody's way tomorrow, and
// tomorrow begins when it does at WeChat.
func TestMidnightRenews(t *testing.T) {
	const limit = 40
	for _, restart := range []bool{false, true} {
		name := map[bool]string{false: "running", true: "restarted just before"}[restart]
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, wechatsim.Settings{}, func(o *keeper.Options) { o.Limits = keeper.Limits{wechat.TokenAPI: limit} })
				w.inject(t, wechatsim.Fault{Kind: wechatsim.FaultCode, Code: -1})
				untilMidnight()
				time.Sleep(22 * time.Hour)
				w.start(t)
				time.Sleep(2*time.Hour - time.Second)
				synctest.Wait()
				// The last call is for the very end of the day.
				if n := w.calls(wechatsim.PathToken); n < limit-1 || w.spent(wechat.TokenAPI).Used != n {
					t.Fatalf("%d calls, %d counted, want %d", n, w.spent(wechat.TokenAPI).Used, limit)
				}
				midnight := time.Now().Add(time.Second)
				if reset := w.spent(wechat.TokenAPI).Reset; !reset.Equal(midnight) {
					t.Errorf("the status says that counting begins anew at %v, want %v", reset, midnight)
				}
				if restart {
					w.stop()
					w.start(t)
				}
				const backoff = time.Minute
				time.Sleep(backoff + 3*time.Second)
				synctest.Wait()
				if n := w.spent(wechat.TokenAPI).Used; n < 1 || n >= limit*3/4 {
					t.Errorf("%d calls are counted a minute after midnight", n)
				}
				w.sim.ClearFaults()
				time.Sleep(backoff)
				synctest.Wait()
				if _, live := w.get(credential.JSAPITicket); !live {
					t.Error("not recovered")
				}
			})
		})
	}
}

// TestASteppedClockForgetsNoCount: a wall clock that visits tomorrow, or
// yesterday, finds today's count when it comes back.
func TestASteppedClockForgetsNoCount(t *testing.T) {
	for _, tt := range []struct {
		name    string
		step    time.Duration
		restart bool
	}{
		{"tomorrow", day, false},
		{"tomorrow, and restarted there", day, true},
		{"yesterday", -day, false},
		{"yesterday, and restarted there", -day, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, wechatsim.Settings{}, nil)
				w.start(t)
				time.Sleep(5 * time.Hour)
				synctest.Wait()
				count := func() [2]int { return [2]int{w.spent(wechat.TokenAPI).Used, w.spent(wechat.TicketAPI).Used} }
				today := count()
				w.clock.Step(tt.step)
				if tt.restart {
					w.stop()
					w.start(t)
				}
				time.Sleep(2 * time.Minute)
				synctest.Wait()
				if n := count(); n[0] > 1 || n[1] > 4 {
					t.Errorf("another day begins with %v calls", n)
				}
				calls := w.allCalls()
				w.clock.Step(-tt.step)
				time.Sleep(2 * time.Minute)
				synctest.Wait()
				n := count()
				if back := w.allCalls() - calls; n[0] < today[0] || n[1] < today[1] || n[0]+n[1] != today[0]+today[1]+back {
					t.Errorf("%v calls before, %v and %d more after", today, n, back)
				}
			})
		})
	}
}

// lostIndex is a disk that takes what it is given and cannot tell what it has.
type lostIndex struct{ keeper.Store }

func (lostIndex) All(string) (map[string][]byte, error) { return nil, errors.New("input/output error") }

// TestHalfSpent: where it is not known what was spent today, half of each limit
// counts as spent, before the first call, and after as many restarts as may be.
func TestHalfSpent(t *testing.T) {
	lost := func(o *keeper.Options) { o.HalfSpent = true }
	for _, tt := range []struct {
		name   string
		change func(*keeper.Options)
		stored string // of each count
		half   bool
	}{
		{"a new database", nil, "", false},
		{"the database was set aside", lost, "", true},
		{"it cannot be read", func(o *keeper.Options) { o.Store = lostIndex{o.Store} }, "", true},
		{"its counts are garbage", nil, "{", true},
		{"its counts can be read", lost, `{"periods":[]}`, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, wechatsim.Settings{}, tt.change)
				for api := range keeper.DefaultLimits() {
					if tt.stored != "" {
						w.disk.Set(appid, "budget/"+string(api), tt.stored)
					}
				}
				check := func(when string, half bool) {
					t.Helper()
					budget := keeper.New(t.Context(), w.options).Status().Budget
					if len(budget) != len(keeper.DefaultLimits()) {
						t.Fatalf("%s: the status has %d APIs", when, len(budget))
					}
					for _, b := range budget {
						want := 0
						if half && b.API != wechat.ClearQuotaAPI { // that is a person's to count
							want = b.Limit / 2
						}
						if b.Used != want || b.Unsaved {
							t.Errorf("%s: %d of %d calls of %s, want %d", when, b.Used, b.Limit, b.API, want)
						}
					}
				}
				check("at first", tt.half)
				// From now on the broker opens a database that is in order.
				w.options.HalfSpent, w.options.Store = false, w.disk.Writer()
				check("after a restart", tt.half)
				time.Sleep(day)
				check("on the next day", false)
			})
		})
	}
}

// TestLimitsOfTheConfiguration hold, and only for the API that they name.
func TestLimitsOfTheConfiguration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := keeper.Limits{wechat.TokenAPI: 30, wechat.TicketAPI: 12}
		w := newWorld(t, wechatsim.Settings{TokenLifetime: time.Minute, TicketLifetime: 20 * time.Second}, func(o *keeper.Options) { o.Limits = limits })
		untilMidnight()
		w.start(t)
		var tokens, tickets int
		for day0 := range 3 {
			time.Sleep(day - time.Second)
			synctest.Wait()
			tokens, tickets = w.calls(wechatsim.PathToken)-tokens, w.calls(wechatsim.PathTicket)-tickets
			if tokens > 30 || tickets > 12 || tokens < 25 || tickets < 10 {
				t.Errorf("day %d: %d token calls of 30, %d ticket calls of 12", day0, tokens, tickets)
			}
			tokens, tickets = w.calls(wechatsim.PathToken), w.calls(wechatsim.PathTicket)
			time.Sleep(time.Second)
		}
		want := keeper.DefaultLimits()
		for _, b := range w.keeper.Status().Budget {
			if limit, ok := limits[b.API]; ok {
				want[b.API] = limit
			}
			if b.Limit != want[b.API] {
				t.Errorf("the limit of %s is %d, want %d", b.API, b.Limit, want[b.API])
			}
		}
	})
}
