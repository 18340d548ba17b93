package keeper_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/keeper"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

// TestTicketOverADay: whenever a ticket is published as live, WeChat honours
// it; and how long there is none is bounded.
func TestTicketOverADay(t *testing.T) {
	const day = 24 * time.Hour
	for _, tt := range []struct {
		name     string
		settings wechatsim.Settings
		minimum  int // calls
		maximum  int
		dark     time.Duration // how long there may be no live ticket in all
	}{
		// Read every 10 minutes while more than 20 remain, then after half of
		// what remains until WeChat has the next one in the last five minutes.
		{"sticky", wechatsim.Settings{}, 12 * 10, 12 * 14, 0},
		{"sticky and fresh-looking", wechatsim.Settings{FreshTicketExpiry: true}, 12 * 10, 12 * 15, 0},
		// WeChat has the next one only when this one is over: no edge may sign
		// with a dead one, so for a moment none can.
		{"without overlap", wechatsim.Settings{TicketOverlap: wechatsim.None}, 12 * 10, 12 * 17, 12 * 2 * time.Second},
		{"of 20 seconds", wechatsim.Settings{TicketLifetime: 20 * time.Second}, 86400 / 10, 3 * 86400 / 15, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, tt.settings, stable)
				w.start(t)
				const every = 500 * time.Millisecond
				var dark time.Duration
				length := day
				if tt.settings.TicketLifetime != 0 {
					length = day / 24
				}
				during(length, every, func(elapsed time.Duration) {
					ticket, live := w.get(credential.JSAPITicket)
					if !live {
						dark += every
					} else if !w.sim.TicketAlive(ticket.Value.Reveal()) {
						t.Fatalf("after %v a dead ticket is published as live", elapsed)
					}
				})
				n := w.calls(wechatsim.PathTicket)
				if scale := int(day / length); n < tt.minimum/scale || n > tt.maximum/scale {
					t.Errorf("%d calls in %v, want %d to %d", n, length, tt.minimum/scale, tt.maximum/scale)
				}
				if dark > tt.dark {
					t.Errorf("no live ticket for %v, want at most %v", dark, tt.dark)
				}
			})
		})
	}
}

// TestTicketThatOutlivesItself: WeChat goes on returning the same ticket, as
// good as ever, long after the two hours it said.
func TestTicketThatOutlivesItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, wechatsim.Settings{FreshTicketExpiry: true, TicketLifetime: 8 * time.Hour}, stable)
		w.start(t)
		// The simulator's ticket lives 8 hours; from now on it claims two.
		w.stop()
		w.disk.Replace(nil)
		w.sim.Change(func(s *wechatsim.Settings) { s.TicketLifetime = 2 * time.Hour })
		w.start(t)
		first, _ := w.get(credential.JSAPITicket)
		calls := w.calls(wechatsim.PathTicket)
		during(7*time.Hour, 10*time.Second, func(elapsed time.Duration) {
			ticket, live := w.get(credential.JSAPITicket)
			if !live {
				t.Fatalf("after %v the ticket was given up though WeChat returns it", elapsed)
			}
			if ticket.Version != first.Version {
				t.Fatalf("after %v the same value has another version", elapsed)
			}
		})
		// 12 or so in the two hours that it says, then less and less often.
		if n := w.calls(wechatsim.PathTicket) - calls; n > 20+5+5*6 {
			t.Errorf("%d calls", n)
		}
	})
}

// TestATicketMadeForALostAnswer is as old as that call: WeChat hands it out later
// as if it were new. So it is given up in time, also by a broker that was killed
// in between.
func TestATicketMadeForALostAnswer(t *testing.T) {
	for _, killed := range []bool{false, true} {
		for outage := 20 * time.Minute; outage <= 40*time.Minute; outage += 2 * time.Minute {
			t.Run(fmt.Sprintf("after %v, the broker killed: %v", outage, killed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, wechatsim.Settings{FreshTicketExpiry: true}, stable)
					w.start(t)
					time.Sleep(105 * time.Minute)
					synctest.Wait()
					w.inject(t, wechatsim.Fault{Kind: wechatsim.FaultLost, Path: wechatsim.PathTicket})
					time.Sleep(outage - 2*time.Minute)
					if killed {
						w.stop()
					}
					time.Sleep(2 * time.Minute)
					w.sim.ClearFaults()
					if killed {
						w.start(t)
					}
					during(3*time.Hour, 5*time.Second, func(elapsed time.Duration) {
						if ticket, live := w.get(credential.JSAPITicket); live && !w.sim.TicketAlive(ticket.Value.Reveal()) {
							t.Fatalf("after %v a dead ticket is handed out", elapsed)
						}
					})
				})
			})
		}
	}
}

func TestKilledTicketIsReplacedAtTheNextReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, wechatsim.Settings{}, stable)
		w.start(t)
		first, _ := w.get(credential.JSAPITicket)
		if err := w.sim.KillTicket(appid, wechatsim.JSAPI); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10*time.Minute + time.Second)
		synctest.Wait()
		second, live := w.get(credential.JSAPITicket)
		if !live || second.Version <= first.Version || !w.sim.TicketAlive(second.Value.Reveal()) {
			t.Error("the ticket was not replaced")
		}
	})
}

// TestAShorterExpiresInIsBelieved: WeChat said two hours of a value that it had
// for an hour already, and says later how long it really lives. It is handed
// out until then and no longer, though no other can be had.
func TestAShorterExpiresInIsBelieved(t *testing.T) {
	for _, kind := range []credential.Kind{credential.AccessToken, credential.JSAPITicket, credential.WXCardTicket} {
		t.Run(string(kind), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, wechatsim.Settings{}, func(o *keeper.Options) {
					stable(o)
					o.Tickets = []credential.Kind{credential.JSAPITicket, credential.WXCardTicket}
				})
				w.start(t)
				time.Sleep(time.Hour)
				w.stop()
				w.disk.Replace(nil) // a new broker
				fresh := true
				w.wechat.Answer(func(rw http.ResponseWriter, r *http.Request) {
					answer := httptest.NewRecorder()
					w.sim.ServeHTTP(answer, r)
					body := answer.Body.String()
					if fresh {
						body = expiresIn.ReplaceAllString(body, `"expires_in":7200`)
					}
					_, _ = io.WriteString(rw, body)
				})
				w.start(t)
				if c, _ := w.get(kind); c.Expiry.Sub(credential.Clock(w.clock.Now).Now()) != 2*time.Hour {
					t.Fatalf("at first it expires at %v: this test shows nothing", c.Expiry.Wall())
				}
				fresh = false
				time.Sleep(time.Minute)
				if err := w.keeper.Refresh(t.Context(), false); err != nil {
					t.Fatal(err)
				}
				w.inject(t, wechatsim.Fault{Kind: wechatsim.FaultCode, Code: -1})
				during(2*time.Hour, 10*time.Second, func(elapsed time.Duration) {
					c, live := w.get(kind)
					value := c.Value.Reveal()
					honoured := w.sim.TokenAlive(value) || w.sim.TicketAlive(value)
					if live != honoured {
						t.Fatalf("after %v it is published as live: %v, and WeChat honours it: %v", elapsed, live, honoured)
					}
				})
			})
		})
	}
}

var expiresIn = regexp.MustCompile(`"expires_in":\d+`)
