package keeper_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/keeper"
	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

func stable(o *keeper.Options) { o.Stable = true }

// TestTokenOverADay: the published token is one that WeChat honours at every
// moment, and the calls are as many as the rules give.
func TestTokenOverADay(t *testing.T) {
	const day = 24 * time.Hour
	for _, tt := range []struct {
		name     string
		settings wechatsim.Settings
		change   func(*keeper.Options)
		path     string
		min, max int
	}{
		// Due between 10 and 11 minutes before 120 are over: every 109 to 110
		// minutes of 1440, and once at the start.
		{"classic", wechatsim.Settings{}, nil, wechatsim.PathToken, 1440/110 + 1, 1440/109 + 1},
		// Due 261 to 290 s before 7200 s are over, when WeChat has the next one
		// ready: every 6910 to 6939 s of 86400.
		{"stable", wechatsim.Settings{}, stable, wechatsim.PathStableToken, 86400/6939 + 1, 86400/6910 + 1},
		// The next one is not ready yet when it is due, 290 s before the end: so
		// asked again after half of what remains, 145 s and 72 s before it.
		{"stable with a short window", wechatsim.Settings{StableWindow: 100 * time.Second}, stable, wechatsim.PathStableToken, 3 * (86400 / 7200), 4*(86400/7120) + 4},
		// Due at 17.8 to 18 s of 20.
		{"classic of 20 seconds", wechatsim.Settings{TokenLifetime: 20 * time.Second, ClassicQuota: wechatsim.None}, nil, wechatsim.PathToken, 86400/18 - 1, 86400*10/178 + 1},
		// Due at 10 to 11 s of 20; WeChat has a new one only after 15, so asked
		// again half of the rest later: two or three calls for each rotation.
		{"stable of 20 seconds", wechatsim.Settings{TokenLifetime: 20 * time.Second}, stable, wechatsim.PathStableToken, 2 * 86400 / 20, 3 * 86400 / 15},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, tt.settings, func(o *keeper.Options) {
					o.Tickets = nil
					o.Limits = keeper.Limits{wechat.TokenAPI: 1e6, wechat.StableTokenAPI: 1e6} // these tokens are short
					if tt.change != nil {
						tt.change(o)
					}
				})
				w.start(t)
				during(day, 7*time.Second, func(elapsed time.Duration) {
					token, live := w.get(credential.AccessToken)
					if !live || !w.sim.TokenAlive(token.Value.Reveal()) {
						t.Fatalf("after %v the published token is not one that WeChat honours", elapsed)
					}
				})
				if n := w.calls(tt.path); n < tt.min || n > tt.max {
					t.Errorf("%d calls in a day, want %d to %d", n, tt.min, tt.max)
				}
			})
		})
	}
}

// TestAccountsThatStartTogetherDoNotStayTogether: their tokens are due within
// what the rules give, and not all at one moment. A stable token must not be
// asked for before its last five minutes: it would be the same.
func TestAccountsThatStartTogetherDoNotStayTogether(t *testing.T) {
	for _, tt := range []struct {
		name   string
		stable bool
		before [2]time.Duration // the expiry, the latest first
	}{
		{"classic", false, [2]time.Duration{10 * time.Minute, 11 * time.Minute}},
		{"stable", true, [2]time.Duration{261 * time.Second, 290 * time.Second}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, wechatsim.Settings{}, func(o *keeper.Options) { o.Stable = tt.stable })
				due := map[time.Duration]bool{}
				for range 20 {
					w.disk.Replace(nil)
					w.start(t)
					token := w.keeper.Status().Kinds[0]
					left := token.Expiry.Sub(token.NextTry)
					if left < tt.before[0] || left > tt.before[1] {
						t.Errorf("due %v before the end, want %v to %v", left, tt.before[0], tt.before[1])
					}
					due[left] = true
					w.stop()
				}
				if len(due) < 10 {
					t.Errorf("20 tokens are due at %d different moments", len(due))
				}
			})
		})
	}
}

// TestStableTokenThatIsHalfUsed: somebody fetched it before us, so it comes
// with the rest of its life.
func TestStableTokenThatIsHalfUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, wechatsim.Settings{}, stable)
		w.start(t)
		first, _ := w.get(credential.AccessToken)
		time.Sleep(time.Hour)
		w.stop()
		w.disk.Replace(nil) // a new broker
		w.start(t)
		second, live := w.get(credential.AccessToken)
		if !second.Value.Equal(first.Value) || !live {
			t.Fatal("WeChat's stable token is not what is published")
		}
		if second.Version <= first.Version {
			t.Errorf("version %d is not above %d", second.Version, first.Version)
		}
		during(2*time.Hour, 10*time.Second, func(elapsed time.Duration) {
			if token, live := w.get(credential.AccessToken); !live || !w.sim.TokenAlive(token.Value.Reveal()) {
				t.Fatalf("after %v the published token is not one that WeChat honours", elapsed)
			}
		})
	})
}

func TestRefusedToken(t *testing.T) {
	kill := map[string]func(*wechatsim.Sim) error{
		"classic":      func(s *wechatsim.Sim) error { return s.KillToken(appid, wechatsim.Classic) },
		"stable":       func(s *wechatsim.Sim) error { return s.KillToken(appid, wechatsim.Stable) },
		"stuck stable": func(s *wechatsim.Sim) error { return s.KillStuckToken(appid) },
	}
	for name, kill := range kill {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, wechatsim.Settings{}, func(o *keeper.Options) { o.Stable = name != "classic" })
				w.start(t)
				before, _ := w.get(credential.AccessToken)
				if err := kill(w.sim); err != nil {
					t.Fatal(err)
				}
				// The next reading of the ticket, ten minutes on, finds out.
				time.Sleep(11 * time.Minute)
				synctest.Wait()
				after, live := w.get(credential.AccessToken)
				if !live || !w.sim.TokenAlive(after.Value.Reveal()) || after.Version <= before.Version {
					t.Error("the refused token was not replaced by one that WeChat honours")
				}
				if ticket, live := w.get(credential.JSAPITicket); !live || !w.sim.TicketAlive(ticket.Value.Reveal()) {
					t.Error("the ticket was lost")
				}
				if n := w.calls(wechatsim.PathDomainIP); n != 1 {
					t.Errorf("%d probes, want 1", n)
				}
				calls := w.calls(wechatsim.PathToken) + w.calls(wechatsim.PathStableToken)
				if want := map[string]int{"classic": 2, "stable": 2, "stuck stable": 3}[name]; calls != want {
					t.Errorf("%d token calls, want %d", calls, want)
				}
			})
		})
	}
}

// TestATokenThatStaysRefused: WeChat refuses it, hands it out again, and forcing
// does not help. That is trouble, told and paced, not a storm.
func TestATokenThatStaysRefused(t *testing.T) {
	for _, name := range []string{"stable", "classic"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var forced, asked int
				w := newWorld(t, wechatsim.Settings{}, func(o *keeper.Options) { o.Stable = name == "stable" })
				w.wechat.Answer(func(rw http.ResponseWriter, r *http.Request) {
					asked++
					body, _ := io.ReadAll(r.Body)
					switch r.URL.Path {
					case wechatsim.PathToken, wechatsim.PathStableToken:
						forced += strings.Count(string(body), `"force_refresh":true`)
						fmt.Fprint(rw, `{"access_token":"always-the-same","expires_in":7200}`)
					default:
						fmt.Fprint(rw, `{"errcode":40001,"errmsg":"invalid credential"}`)
					}
				})
				w.start(t)
				during(24*time.Hour, time.Minute, func(elapsed time.Duration) {
					if _, live := w.get(credential.AccessToken); live && elapsed > 2*time.Minute {
						t.Fatalf("after %v a token that WeChat refuses is published as live", elapsed)
					}
				})
				// The 24 hours begin at eight in the morning of UTC+8: two days.
				if forced > 2*20 {
					t.Errorf("%d forced refreshes, WeChat allows 20 a day", forced)
				}
				if asked > 24*6*3+60 {
					t.Errorf("%d calls in a day", asked)
				}
				if e := w.keeper.Status().Kinds[0].LastError; e == nil || e.Class != wxapi.RefusedToken {
					t.Errorf("the status says %v", e)
				}
			})
		})
	}
}

// TestAValueThatExpiresAtOnce is no value.
func TestAValueThatExpiresAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, wechatsim.Settings{}, nil)
		var n int
		w.wechat.Answer(func(rw http.ResponseWriter, _ *http.Request) {
			n++
			fmt.Fprintf(rw, `{"access_token":"token-%d","expires_in":0}`, n)
		})
		w.start(t)
		time.Sleep(time.Hour)
		synctest.Wait()
		if n > 300 {
			t.Errorf("%d calls in an hour", n)
		}
		if w.keeper.Status().Kinds[0].LastError == nil {
			t.Error("the status says that all is well")
		}
	})
}

// TestAnAPIThatAlwaysSays40001 rotates nothing: the token works elsewhere.
func TestAnAPIThatAlwaysSays40001(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, wechatsim.Settings{}, stable)
		w.start(t)
		before, _ := w.get(credential.AccessToken)
		if err := w.sim.Inject(wechatsim.Fault{Kind: wechatsim.FaultCode, Path: wechatsim.PathTicket, Code: 40001}); err != nil {
			t.Fatal(err)
		}
		during(time.Hour, time.Minute, func(elapsed time.Duration) {
			if now, live := w.get(credential.AccessToken); !live || now.Version != before.Version {
				t.Fatalf("after %v the token was rotated", elapsed)
			}
			if _, live := w.get(credential.JSAPITicket); !live {
				t.Fatalf("after %v a ticket that WeChat honours was given up", elapsed)
			}
		})
		if n := w.calls(wechatsim.PathTicket); n > 12 {
			t.Errorf("%d ticket calls in an hour", n)
		}
	})
}
