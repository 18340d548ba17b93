package keeper_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/keeper"
	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

const day = 24 * time.Hour

// TestACrashLoopDoesNotSpendTheDay: whatever a broker crashes of, each of its
// 10 000 lives of a day finds what the ones before it spent, and until midnight
// there is something left to try with.
func TestACrashLoopDoesNotSpendTheDay(t *testing.T) {
	const restarts, life = 10_000, 8640 * time.Millisecond
	limits := keeper.DefaultLimits()
	for _, tt := range []struct {
		name   string
		refuse func(key string) bool
		calls  string // what is called in every life
	}{
		{"nothing but counts is stored", func(key string) bool { return !strings.HasPrefix(key, "budget/") }, wechatsim.PathToken},
		{"the ticket is not stored", func(key string) bool { return key == string(credential.JSAPITicket) }, wechatsim.PathTicket},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				// WeChat itself refuses nothing: only the broker holds back.
				w := newWorld(t, wechatsim.Settings{ClassicQuota: wechatsim.None}, nil)
				w.disk.Refuse(tt.refuse)
				untilMidnight()
				lastHour := 0
				for i := range restarts {
					w.start(t)
					time.Sleep(life)
					synctest.Wait()
					w.stop()
					if i == restarts-int(time.Hour/life) {
						lastHour = w.calls(tt.calls)
					}
				}
				if n := w.calls(wechatsim.PathToken); n > limits[wechat.TokenAPI] {
					t.Errorf("%d token calls in a day", n)
				}
				if n := w.calls(wechatsim.PathTicket); n > limits[wechat.TicketAPI] {
					t.Errorf("%d ticket calls in a day", n)
				}
				if n := w.calls(tt.calls); n == lastHour {
					t.Errorf("none of the %d calls is in the last hour of the day", n)
				}
			})
		})
	}
}

// TestACrashLoopOverADeadDisk: nobody knows what was spent, so the first minute
// of each life spends nothing.
func TestACrashLoopOverADeadDisk(t *testing.T) {
	for _, tt := range []struct {
		life     time.Duration
		restarts int
		calls    int // of each API in each life, at most
	}{
		{8640 * time.Millisecond, 1000, 0},
		{59 * time.Second, 200, 0},
		{90 * time.Second, 200, 1},
	} {
		t.Run(fmt.Sprint("every ", tt.life), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, wechatsim.Settings{}, nil)
				w.disk.Fill(true)
				for range tt.restarts {
					before, tokens, tickets := w.allCalls(), w.calls(wechatsim.PathToken), w.calls(wechatsim.PathTicket)
					w.start(t)
					time.Sleep(min(tt.life, time.Minute-time.Second))
					synctest.Wait()
					if n := w.allCalls() - before; n != 0 {
						t.Fatalf("%d calls in the first minute", n)
					}
					time.Sleep(tt.life - min(tt.life, time.Minute-time.Second))
					synctest.Wait()
					w.stop()
					tokens, tickets = w.calls(wechatsim.PathToken)-tokens, w.calls(wechatsim.PathTicket)-tickets
					if tokens != tt.calls || tickets != tt.calls {
						t.Fatalf("%d token and %d ticket calls in one life, want %d", tokens, tickets, tt.calls)
					}
				}
			})
		})
	}
}

// TestUncountedCallsAreFew: while no count can be written, no API is called
// twice in a minute, whatever is due and however it fails.
func TestUncountedCallsAreFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, wechatsim.Settings{}, func(o *keeper.Options) {
			o.Tickets = []credential.Kind{credential.JSAPITicket, credential.WXCardTicket}
		})
		w.disk.Fill(true)
		w.start(t)
		before := [2]int{}
		during(time.Hour, time.Minute, func(elapsed time.Duration) {
			now := [2]int{w.calls(wechatsim.PathToken), w.calls(wechatsim.PathTicket)}
			if now[0]-before[0] > 1 || now[1]-before[1] > 1 {
				t.Errorf("calls of token and ticket in the minute before %v: from %v to %v", elapsed, before, now)
			}
			before = now
			if elapsed != 5*time.Minute {
				return
			}
			for _, kind := range w.options.Tickets {
				if _, live := w.get(kind); !live {
					t.Errorf("there is no %s", kind)
				}
			}
			_ = w.sim.KillToken(appid, wechatsim.Classic)
			w.inject(t, wechatsim.Fault{Kind: wechatsim.FaultCode, Path: wechatsim.PathToken, Code: -1})
		})
		if before[0] < 30 {
			t.Errorf("%d token calls in an hour in which it could not be had", before[0])
		}
	})
}

// TestAnOutageOfAnyLength leaves enough of the day that what ends it is found
// soon: from three quarters of the limit on calls are as far apart as the rest
// of the day over the rest of the limit, and that stays as it is when it begins.
func TestAnOutageOfAnyLength(t *testing.T) {
	const limit = 200
	const pace = day / (limit / 4)
	const backoff = time.Minute
	for hours := range 24 {
		t.Run(fmt.Sprint(hours, " hours"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, wechatsim.Settings{}, func(o *keeper.Options) {
					o.Limits = keeper.Limits{wechat.TokenAPI: limit}
				})
				w.inject(t, wechatsim.Fault{Kind: wechatsim.FaultCode, Code: -1})
				untilMidnight()
				w.start(t)
				time.Sleep(time.Duration(hours)*time.Hour + 7*time.Minute)
				synctest.Wait()
				if n := w.calls(wechatsim.PathToken); n > limit {
					t.Errorf("%d calls of the %d that are allowed", n, limit)
				}
				w.sim.ClearFaults()
				time.Sleep(pace + backoff + time.Second)
				synctest.Wait()
				if _, live := w.get(credential.JSAPITicket); !live {
					t.Errorf("not recovered within %v, with %d calls made", pace+backoff, w.calls(wechatsim.PathToken))
				}
			})
		})
	}
}

// TestTheReserveIsForRecovery: while the ticket serves, reading it anew spends
// nine tenths of the limit and no more; once it is over, the rest as well.
func TestTheReserveIsForRecovery(t *testing.T) {
	const limit = 100
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, wechatsim.Settings{TokenLifetime: 5 * day, TicketLifetime: 21 * time.Hour}, func(o *keeper.Options) {
			o.Limits = keeper.Limits{wechat.TicketAPI: limit}
		})
		untilMidnight()
		w.start(t)
		w.inject(t, wechatsim.Fault{Kind: wechatsim.FaultCode, Path: wechatsim.PathTicket, Code: -1})
		var served, expired int
		during(day-time.Minute, time.Minute, func(time.Duration) {
			expired = w.calls(wechatsim.PathTicket)
			if _, live := w.get(credential.JSAPITicket); live {
				served = expired
			}
		})
		if served > limit-limit/10 || served < limit*3/4 {
			t.Errorf("%d calls while the ticket was good, want three quarters to nine tenths of %d", served, limit)
		}
		if expired > limit || expired <= limit-limit/10 {
			t.Errorf("%d calls by midnight, want the reserve of %d to be used", expired, limit)
		}
	})
}
