package wechatsim_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

func TestQuotas(t *testing.T) {
	tests := []struct {
		name     string
		settings wechatsim.Settings
		limit    int
		call     func(w *wechat, token string) reply
	}{
		{
			"classic", wechatsim.Settings{ClassicQuota: 3}, 2, // one more went for the token
			func(w *wechat, _ string) reply { return w.classic() },
		},
		{
			"stable",
			wechatsim.Settings{StableQuota: 3},
			3,
			func(w *wechat, _ string) reply { return w.stable(false) },
		},
		{
			"ticket",
			wechatsim.Settings{TicketQuota: 3},
			3,
			func(w *wechat, token string) reply { return w.ticket(token, "jsapi") },
		},
		{
			"classic, WeChat's own",
			wechatsim.Settings{},
			1999,
			func(w *wechat, _ string) reply { return w.classic() },
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				// A bubble starts at midnight UTC, which is 08:00 in China.
				w := inMemory(t, tt.settings)
				token := w.granted(w.classic())
				for range tt.limit {
					w.granted(tt.call(w, token))
				}
				if r := tt.call(w, token); r.Code != 45009 {
					t.Fatalf("over the quota: %d, want 45009", r.Code)
				}
				w.Change(func(s *wechatsim.Settings) { s.TokenLifetime = 48 * time.Hour })
				if err := w.ClearQuota(appid); err != nil {
					t.Fatal(err)
				}
				token = w.granted(w.classic()) // long-lived
				for range tt.limit {
					w.granted(tt.call(w, token))
				}
				time.Sleep(16*time.Hour - time.Second)
				if r := tt.call(w, token); r.Code != 45009 {
					t.Errorf("a second before midnight in China: %d, want 45009", r.Code)
				}
				time.Sleep(time.Second)
				if r := tt.call(w, token); r.Code != 0 {
					t.Errorf("at midnight in China: %d, want 0", r.Code)
				}
			})
		})
	}
}

func TestRefusedCallsDoNotSpendTheQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{ClassicQuota: 1})
		for range 3 {
			w.do("GET", classicPath(appid, "x"), "")
		}
		w.granted(w.classic())
		if st, err := w.State(appid); err != nil || st.UsedToday["token"] != 1 {
			t.Errorf("used today: %v, error %v", st.UsedToday, err)
		}
	})
}

func TestQuotaSwitchedOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{ClassicQuota: wechatsim.None})
		for range 2001 {
			w.granted(w.classic())
		}
	})
}
