package wechatsim_test

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

// quota asks for the quota of a path.
func (w *wechat) quota(token, path string) reply {
	w.t.Helper()
	body, _ := json.Marshal(map[string]string{"cgi_path": path})
	return w.do("POST", wechatsim.PathQuota+"?access_token="+token, string(body))
}

// used fails the test unless a quota reads as wanted.
func (w *wechat) used(token, path string, limit, used int) {
	w.t.Helper()
	r := w.quota(token, path)
	if q := r.Quota; r.Code != 0 || r.Message != "ok" || q.Limit != limit || q.Used != used || q.Remain != limit-used {
		w.t.Errorf("%s: %d %q %+v, want %d of %d used", path, r.Code, r.Message, q, used, limit)
	}
}

func TestQuotaShowsTheCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{TokenLifetime: 48 * time.Hour, TicketQuota: 4})
		token := w.granted(w.classic())
		stable := w.granted(w.stable(true))
		w.used(token, wechatsim.PathToken, 2000, 1)
		w.used(stable, wechatsim.PathStableToken, 500000, 1)
		w.used(token, wechatsim.PathTicket, 4, 0)

		token = w.granted(w.classic())
		w.do("GET", classicPath(appid, "x"), "") // refused, so not used
		for range 4 {
			w.granted(w.ticket(token, "jsapi"))
		}
		if r := w.ticket(token, "wx_card"); r.Code != 45009 {
			t.Fatalf("%d, want 45009", r.Code)
		}
		w.used(token, wechatsim.PathToken, 2000, 2)
		w.used(token, wechatsim.PathTicket, 4, 4)

		// If a limit is lowered below the number that is used, nothing is left.
		w.Change(func(s *wechatsim.Settings) { s.ClassicQuota = 1 })
		if q := w.quota(token, wechatsim.PathToken).Quota; q.Limit != 1 || q.Used != 2 || q.Remain != 0 {
			t.Errorf("lowered: %+v", q)
		}
		w.Change(func(s *wechatsim.Settings) { s.ClassicQuota = wechatsim.None })
		w.used(token, wechatsim.PathToken, 1000000, 2)

		// A bubble starts at midnight UTC, which is 08:00 in China.
		time.Sleep(16*time.Hour - time.Second)
		w.used(token, wechatsim.PathTicket, 4, 4)
		time.Sleep(time.Second)
		w.used(token, wechatsim.PathTicket, 4, 0)
	})
}

func TestEveryAPIHasAQuotaToAskFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{})
		token := w.granted(w.stable(false))
		for _, path := range wechatsim.Paths() {
			if strings.HasPrefix(path, "/sns/") {
				continue // WeChat does not tell the quotas of these: see below
			}
			if r := w.quota(token, path); r.Code != 0 || r.Quota.Limit <= 0 {
				t.Errorf("%s: %d %q, limit %d", path, r.Code, r.Message, r.Quota.Limit)
			}
		}
		st, err := w.State(appid)
		if err != nil || len(st.UsedToday) != 1 {
			t.Errorf("used today: %v, error %v, want the stable token alone", st.UsedToday, err)
		}
	})
}

func TestQuotaAnswerInFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{})
		token := w.granted(w.classic())
		_, _, text, err := w.exchange("POST", wechatsim.PathQuota+"?access_token="+token, `{"cgi_path":"/cgi-bin/token"}`)
		want := `{"errcode":0,"errmsg":"ok","quota":{"daily_limit":2000,"used":1,"remain":1999},` +
			`"rate_limit":{"call_count":1000000,"refresh_second":60},"component_rate_limit":{"call_count":1000000,"refresh_second":60}}`
		if err != nil || text != want {
			t.Errorf("%s, error %v, want %s", text, err, want)
		}
	})
}

func TestQuotaOfAnAPIWithoutOne(t *testing.T) {
	tests := []struct {
		name, body string
		code       int
		message    string
	}{
		{"no such path", `{"cgi_path":"/cgi-bin/menu/get"}`, 76021, "cgi_path not found, please check"},
		{"a page", `{"cgi_path":"/"}`, 76021, "cgi_path not found, please check"},
		{"sns", `{"cgi_path":"/sns/oauth2/access_token"}`, 76022, "could not use this cgi_path,no permission"},
		{"sns further down", `{"cgi_path":"/wxa/sns/x"}`, 76022, "could not use this cgi_path,no permission"},
		{"no slash", `{"cgi_path":"cgi-bin/token"}`, 76003, "invalid cgi_path"},
		{"with the host", `{"cgi_path":"https://api.weixin.qq.com/cgi-bin/token"}`, 76003, "invalid cgi_path"},
		{"no path", `{}`, 76003, "invalid cgi_path"},
		{"no body", ``, 47001, "data format error"},
		{"a form", `cgi_path=/cgi-bin/token`, 47001, "data format error"},
		{"a wrong type", `{"cgi_path":1}`, 47001, "data format error"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := inMemory(t, wechatsim.Settings{})
				r := w.do("POST", wechatsim.PathQuota+"?access_token="+w.granted(w.classic()), tt.body)
				if r.Code != tt.code || !withRID(r.Message, tt.message) {
					t.Errorf("%d %q, want %d %q", r.Code, r.Message, tt.code, tt.message)
				}
			})
		})
	}
}
