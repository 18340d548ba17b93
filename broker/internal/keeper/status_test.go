package keeper_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/keeper"
	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

// advice returns what the operator of w is told.
func (w *world) advice() []string { return w.keeper.Status().Advice(w.clock.Now()) }

// TestAdvice: one sentence for one trouble, and it says what to do.
func TestAdvice(t *testing.T) {
	refused := func(code int) func(*testing.T, *world) {
		return func(t *testing.T, w *world) {
			t.Helper()
			w.inject(t, wechatsim.Fault{Kind: wechatsim.FaultCode, Path: wechatsim.PathToken, Code: code})
		}
	}
	for _, tt := range []struct {
		name   string
		before func(*testing.T, *world) // the start
		says   []string
	}{
		{"busy", refused(-1), []string{"errcode -1", "system error"}},
		{"too often", refused(45011), []string{"errcode 45011"}},
		{"quota", refused(45009), []string{"errcode 45009", "find what else calls", "clear the quota"}},
		{"wrong secret", refused(40125), []string{"errcode 40125", "check the account's AppSecret"}},
		{"wrong secret, as 40001", refused(40001), []string{"errcode 40001", "check the account's AppSecret"}},
		{"frozen secret", refused(40243), []string{"errcode 40243", "unfreeze it"}},
		{"wrong appid", refused(40013), []string{"errcode 40013", "check the account's appid"}},
		{"never heard of", refused(99999), []string{"look errcode 99999 up"}},
		{"approval", refused(89503), []string{"errcode 89503", "has to confirm"}},
		{"refused twice", refused(89506), []string{"errcode 89506", "24 hours"}},
		{"address", func(_ *testing.T, w *world) {
			w.sim.Change(func(s *wechatsim.Settings) { s.SeenAddress = netip.MustParseAddr("203.0.113.7") })
			_ = w.sim.SetAllowList(appid, netip.MustParsePrefix("192.0.2.1/32"))
		}, []string{"WeChat saw 203.0.113.7", "IP allow-list"}},
		{"IPv6 address", func(_ *testing.T, w *world) {
			w.sim.Change(func(s *wechatsim.Settings) { s.SeenAddress = netip.MustParseAddr("2001:db8::17") })
			_ = w.sim.SetAllowList(appid, netip.MustParsePrefix("192.0.2.1/32"))
		}, []string{"WeChat saw 2001:db8::17", "IP allow-list"}},
		{"unreachable", func(t *testing.T, w *world) {
			t.Helper()
			w.inject(t, wechatsim.Fault{Kind: wechatsim.FaultStatus, Status: 502})
		}, []string{"HTTP 502"}},
		{"our own limit", func(_ *testing.T, w *world) { w.options.Limits = keeper.Limits{wechat.TokenAPI: 0} }, []string{
			"not called", "0 of the 0 calls", "find out what the calls were spent on",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, wechatsim.Settings{}, func(o *keeper.Options) { o.Tickets = nil })
				tt.before(t, w)
				w.start(t)
				got := w.advice()
				if len(got) != 1 || !strings.HasPrefix(got[0], "there is no live access_token: ") || strings.ContainsAny(got[0], "\n\r") {
					t.Fatalf("advice %q", got)
				}
				for _, want := range tt.says {
					if !strings.Contains(got[0], want) {
						t.Errorf("advice %q lacks %q", got[0], want)
					}
				}
			})
		})
	}
}

// TestAdviceOverTime: what is told while a value still serves, once it does
// not, and when all is well again.
func TestAdviceOverTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, wechatsim.Settings{}, nil)
		w.start(t)
		if got := w.advice(); len(got) != 0 {
			t.Errorf("a healthy account: advice %q", got)
		}
		token, _ := w.get(credential.AccessToken)
		w.inject(t, wechatsim.Fault{Kind: wechatsim.FaultCode, Path: wechatsim.PathToken, Code: 40013})
		check := func(when string, want ...string) {
			t.Helper()
			got := w.advice()
			for i := range max(len(got), len(want)) {
				if i >= len(got) || i >= len(want) || !strings.HasPrefix(got[i], want[i]) {
					t.Errorf("%s: advice %q, want %q", when, got, want)
					return
				}
			}
		}
		time.Sleep(2*time.Hour - 5*time.Minute)
		synctest.Wait()
		check("while it serves", "the access_token is good until "+token.Expiry.Wall().UTC().Format(time.RFC3339)+" and cannot be renewed: errcode 40013")
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		check("when nothing serves", "there is no live access_token: errcode 40013", "there is no live jsapi_ticket yet")
		w.disk.Fill(true)
		w.sim.ClearFaults()
		time.Sleep(11 * time.Minute)
		synctest.Wait()
		check("when the disk is full", "the database does not have the current access_token: make room", "the database does not have the current jsapi_ticket: make room",
			"calls of ticket cannot be counted in the database: make room", "calls of token cannot be counted in the database: make room")
		w.disk.Fill(false)
		time.Sleep(time.Minute)
		synctest.Wait()
		check("when all is well again")
	})
}

// TestAdviceOnWhatIsSpent comes before the limit does.
func TestAdviceOnWhatIsSpent(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, china)
	tomorrow := now.Add(12 * time.Hour)
	for _, tt := range []struct {
		name  string
		spent keeper.Spent
		says  string // "" for nothing
	}{
		{"little", keeper.Spent{API: wechat.TokenAPI, Used: 1499, Limit: 2000, Reset: tomorrow}, ""},
		{"three quarters", keeper.Spent{API: wechat.TokenAPI, Used: 1500, Limit: 2000, Reset: tomorrow}, "1500 of the 2000 calls of token"},
		{"all", keeper.Spent{API: wechat.TicketAPI, Used: 2000, Limit: 2000, Reset: tomorrow}, "2000 of the 2000 calls of ticket"},
		{"all, yesterday", keeper.Spent{API: wechat.TokenAPI, Used: 2000, Limit: 2000, Reset: now}, ""},
		{"a person's clearings", keeper.Spent{API: wechat.ClearQuotaAPI, Used: 10, Limit: 10, Reset: tomorrow}, ""},
		{"none was allowed", keeper.Spent{API: wechat.QuotaAPI, Limit: 0, Reset: tomorrow}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := keeper.Status{Budget: []keeper.Spent{tt.spent}}.Advice(now)
			if text := strings.Join(got, "\n"); (text == "") != (tt.says == "") || !strings.HasPrefix(text, tt.says) || len(got) > 1 {
				t.Errorf("advice %q", got)
			}
		})
	}
}

// TestStatusHoldsNoSecret, whatever WeChat repeats of what it was sent.
func TestStatusHoldsNoSecret(t *testing.T) {
	for _, isStable := range []bool{false, true} {
		for _, path := range []string{wechatsim.PathToken, wechatsim.PathStableToken, wechatsim.PathTicket} {
			t.Run(fmt.Sprint("stable ", isStable, " ", path), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, wechatsim.Settings{}, func(o *keeper.Options) { o.Stable = isStable })
					w.start(t)
					w.inject(t, wechatsim.Fault{Kind: wechatsim.FaultEcho, Path: path})
					during(3*time.Hour, 10*time.Minute, func(time.Duration) {
						status := w.keeper.Status()
						text := fmt.Sprintf("%+v %#v %q", status, status, w.advice())
						for _, k := range status.Kinds {
							text += fmt.Sprintf("%+v %v", k.LastError, k.LastError)
						}
						for _, value := range append(w.sim.Issued(appid), secret) {
							if strings.Contains(text, value) {
								t.Fatalf("the status shows a secret: %s", text)
							}
						}
					})
				})
			})
		}
	}
}
