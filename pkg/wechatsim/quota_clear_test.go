package wechatsim_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

func clearBody(appid, secret string) string {
	b, _ := json.Marshal(map[string]string{"appid": appid, "appsecret": secret})
	return string(b)
}

func clearPath(appid, secret string) string {
	return wechatsim.PathClearQuota + "?" + url.Values{"appid": {appid}, "appsecret": {secret}}.Encode()
}

// clear clears the quotas in the way of today's document.
func (w *wechat) clear() reply {
	w.t.Helper()
	return w.do("POST", wechatsim.PathClearQuota, clearBody(appid, secret))
}

// withRID says whether a refusal has these words.
func withRID(message, words string) bool { return strings.HasPrefix(message, words+" rid: ") }

func TestClearQuotaReadsBodyAndQuery(t *testing.T) {
	tests := []struct {
		name, path, body string
		code             int
	}{
		{"body", wechatsim.PathClearQuota, clearBody(appid, secret), 0},
		{"query", clearPath(appid, secret), "", 0},
		{"query and an empty object", clearPath(appid, secret), "{}", 0},
		{"both alike", clearPath(appid, secret), clearBody(appid, secret), 0},
		{"one in each", wechatsim.PathClearQuota + "?appid=" + appid, `{"appsecret":"` + secret + `"}`, 0},
		{"a good body wins", clearPath("wx1", "x"), clearBody(appid, secret), 0},
		{"a wrong body wins", clearPath(appid, secret), clearBody(appid, "x"), 40125},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := inMemory(t, wechatsim.Settings{ClassicQuota: 1})
				w.granted(w.classic())
				r := w.do("POST", tt.path, tt.body)
				if r.Code != tt.code || tt.code == 0 && r.Message != "ok" {
					t.Errorf("%d %q, want %d", r.Code, r.Message, tt.code)
				}
				if got := w.classic().Code == 0; got != (tt.code == 0) {
					t.Errorf("cleared: %t", got)
				}
				if n := w.Count(wechatsim.Call{AppID: appid, API: wechatsim.PathClearQuota}); n != 1 {
					t.Errorf("the account has %d calls, want one", n)
				}
			})
		})
	}
}

func TestClearQuotaClearsEveryCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{ClassicQuota: 1, StableQuota: 2, ForceQuota: 1, TicketQuota: 1, ForceInterval: wechatsim.None})
		w.AddAccount(wechatsim.Account{AppID: "wxother", Secret: secret})
		w.granted(w.do("GET", classicPath("wxother", secret), ""))
		for range 2 {
			token := w.granted(w.classic())
			w.granted(w.ticket(token, "jsapi"))
			w.granted(w.stable(true))
			if r := w.stable(true); r.Code != 45009 { // the second forced one, and the second of all
				t.Errorf("a forced refresh too many: %d, want 45009", r.Code)
			}
			for api, r := range map[string]reply{"classic": w.classic(), "stable": w.stable(false), "ticket": w.ticket(token, "jsapi")} {
				if r.Code != 45009 {
					t.Errorf("%s: %d, want 45009", api, r.Code)
				}
			}
			if r := w.clear(); r.Code != 0 {
				t.Fatalf("clear: %d %s", r.Code, r.Message)
			}
			if st, err := w.State(appid); err != nil || len(st.UsedToday) != 0 {
				t.Errorf("used today: %v, error %v", st.UsedToday, err)
			}
		}
		if r := w.do("GET", classicPath("wxother", secret), ""); r.Code != 45009 {
			t.Errorf("another account was cleared: %d, want 45009", r.Code)
		}
	})
}

func TestClearsPerMonth(t *testing.T) {
	tests := []struct {
		name     string
		settings wechatsim.Settings
		limit    int
	}{
		{"WeChat's own", wechatsim.Settings{}, 10},
		{"two", wechatsim.Settings{ClearsPerMonth: 2}, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				// A bubble starts on 2000-01-01 at 08:00 in China.
				w := inMemory(t, tt.settings)
				w.AddAccount(wechatsim.Account{AppID: "wxother", Secret: secret})
				spend := func() {
					t.Helper()
					for i := range tt.limit {
						if r := w.clear(); r.Code != 0 {
							t.Fatalf("clear %d: %d %s", i+1, r.Code, r.Message)
						}
						w.do("POST", wechatsim.PathClearQuota, clearBody(appid, "x")) // refused, so not counted
						if err := w.ClearQuota(appid); err != nil {                   // no call, so not counted
							t.Fatal(err)
						}
					}
				}
				over := func(when string) {
					t.Helper()
					if r := w.clear(); r.Code != 48006 || !withRID(r.Message, "forbid to clear quota because of reaching the limit") {
						t.Errorf("%s: %d %q, want 48006", when, r.Code, r.Message)
					}
				}
				spend()
				w.granted(w.classic())
				over("at once")
				if st, err := w.State(appid); err != nil || st.UsedToday["token"] != 1 {
					t.Errorf("a refused clear took effect: %v, error %v", st.UsedToday, err)
				}
				if r := w.do("POST", wechatsim.PathClearQuota, clearBody("wxother", secret)); r.Code != 0 {
					t.Errorf("another account: %d", r.Code)
				}
				time.Sleep(time.Until(time.Date(2000, 1, 31, 16, 0, 0, 0, time.UTC)) - time.Second)
				over("a second before the month ends in China")
				time.Sleep(time.Second)
				spend()
				over("in February")
				time.Sleep(time.Until(time.Date(2001, 1, 31, 16, 0, 0, 0, time.UTC)))
				spend() // the same month of another year
			})
		})
	}
}

func TestClearsSwitchedOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{ClearsPerMonth: wechatsim.None})
		for range 11 {
			if r := w.clear(); r.Code != 0 {
				t.Fatalf("%d %s", r.Code, r.Message)
			}
		}
	})
}
