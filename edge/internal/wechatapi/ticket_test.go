package wechatapi_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/edge/internal/apitest"
	"github.com/wxbroker/wxbroker/edge/internal/audit"
	"github.com/wxbroker/wxbroker/edge/internal/brokertest"
	"github.com/wxbroker/wxbroker/pkg/credential"
)

func TestWeChatTicket(t *testing.T) {
	kinds := append([]credential.Kind{credential.AccessToken}, bothTicket...)
	empty := apitest.Holding(pay, []credential.Kind{credential.JSAPITicket})
	empty.Calls, empty.AliasKey = apitest.EveryCall, apitest.AliasKey(pay)
	page := `{"errcode":0,"errmsg":"ok","ticket":"page-ticket","expires_in":5400}`
	tests := []struct {
		name, query string
		key         bool
		holder      string
		want        string
		errcode     int
	}{
		{"by token", "type=jsapi&access_token=57_token", false, audit.SharedToken, page, 0},
		{"by alias", "type=jsapi&access_token=" + apitest.Alias(t, shop, "店"), false, "店", page, 0},
		{"by key", "type=jsapi&appid=" + shop, true, "billing", page, 0},
		{"for cards", "type=wx_card&access_token=57_token", false, audit.SharedToken, `{"errcode":0,"errmsg":"ok","ticket":"card-ticket","expires_in":3600}`, 0},
		{"for cards by key: only one has any", "type=wx_card", true, "billing", `{"errcode":0,"errmsg":"ok","ticket":"card-ticket","expires_in":3600}`, 0},
		{"which account by key", "type=jsapi", true, "", "", 41002},
		{"no token", "type=jsapi", false, "", "", 41001},
		{"another token", "type=jsapi&access_token=57_other", false, "", "", 40001},
		{"the local key as token", "type=jsapi&access_token=k", false, "", "", 40001},
		{"another type", "type=sdk&access_token=57_token", false, "", "", 40097},
		{"no type", "access_token=57_token", false, "", "", 40097},
		{"another type by a stranger", "type=sdk&access_token=57_other", false, "", "", 40001},
		{"a ticket that there is none of yet", "type=jsapi&access_token=" + apitest.Alias(t, pay, "a"), false, "", "", -1},
		{"a ticket that is not granted", "type=wx_card&access_token=" + apitest.Alias(t, pay, "a"), false, "", "", 48001},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // in which no time passes
				w := newWorld(t, new(brokertest.Broker))
				full := apitest.Holding(shop, kinds, apitest.Live(credential.AccessToken, "57_token", time.Hour, 0),
					apitest.Live(credential.JSAPITicket, "page-ticket", 90*time.Minute+500*time.Millisecond, 0), apitest.Live(credential.WXCardTicket, "card-ticket", time.Hour, 0))
				full.Calls, full.AliasKey = apitest.EveryCall, apitest.AliasKey(shop)
				w.state.Apply([]credential.Account{full, empty})
				r := apitest.Get("/cgi-bin/ticket/getticket", test.query)
				if test.key {
					apitest.WithKey(r)
				}
				rec := w.call(r)
				if test.errcode != 0 {
					if code, _ := apitest.Refusal(t, rec); rec.Code != http.StatusOK || code != test.errcode {
						t.Errorf("HTTP %d: %s, want %d", rec.Code, rec.Body, test.errcode)
					}
					return
				}
				if rec.Code != http.StatusOK || strings.TrimSpace(rec.Body.String()) != test.want {
					t.Errorf("HTTP %d: %s", rec.Code, rec.Body)
				}
				kind := credential.JSAPITicket
				if strings.Contains(test.query, "wx_card") {
					kind = credential.WXCardTicket
				}
				apitest.Audited(t, w.audited, audit.Entry{LocalKey: test.holder, Action: audit.Ticket, Kind: kind, AppID: shop, Status: 200})
			})
		})
	}
	w := newWorld(t, new(brokertest.Broker))
	if code, _ := apitest.Refusal(t, w.call(apitest.Post("/cgi-bin/ticket/getticket", apitest.FormType, ""))); code != 43001 {
		t.Errorf("POST: %d", code)
	}
}
