package wechatapi_test

import (
	"net/http"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/wxbroker/wxbroker/edge/internal/apitest"
	"github.com/wxbroker/wxbroker/edge/internal/brokertest"
	"github.com/wxbroker/wxbroker/pkg/credential"
)

// TestWhoseCall: no call is made for another account than the one that is meant.
func TestWhoseCall(t *testing.T) {
	const users, elsewhere = "/cgi-bin/user/get", "wxffffffffffffffff"
	tests := []struct {
		name, path, query string
		key               bool
		appid             string // that the broker is asked for
		errcode           int    // where it is not asked
	}{
		{"the key and a token of an account", users, "access_token=57_token", true, pay, 0},
		{"the key and an alias of an account", users, "access_token=" + apitest.Alias(t, shop, "a") + "&appid=" + pay, true, shop, 0},
		{"the key, and which account is open", users, "", true, "", 41002},
		{"the key and an account that is not served", users, "appid=" + elsewhere, true, "", 40013},
		{"the key and an appid of another meaning", users, "appid=1&access_token=57_token", true, pay, 0},
		{"a ticket of an account that is not served", "/cgi-bin/ticket/getticket", "type=jsapi&appid=" + elsewhere, true, "", 40013},
		{"a ticket of what is no account", "/cgi-bin/ticket/getticket", "type=jsapi&appid=%0a", true, "", 40013},
		{"a stranger and an account", "/sns/userinfo", "access_token=u&appid=" + elsewhere, false, elsewhere, 0},
		{"a stranger and what is no account", "/sns/userinfo", "access_token=u&appid=a%0ab", false, "", 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := &brokertest.Broker{Answer: brokertest.Echo}
			w := newWorld(t, b)
			withToken := apitest.Holding(pay, onlyToken, apitest.Live(credential.AccessToken, "57_token", time.Hour, 0))
			withToken.Calls, withToken.AliasKey = apitest.EveryCall, apitest.AliasKey(pay)
			w.state.Apply([]credential.Account{apitest.CallsOnly(shop), withToken})
			r := apitest.Get(test.path, test.query)
			if test.key {
				apitest.WithKey(r)
			}
			rec := w.call(r)
			if test.errcode != 0 {
				if code, _ := apitest.Refusal(t, rec); code != test.errcode || len(b.Heads()) > 0 {
					t.Errorf("%s, and %d calls", rec.Body, len(b.Heads()))
				}
				return
			}
			if rec.Code != http.StatusOK || len(b.Heads()) != 1 || b.Heads()[0].GetAppid() != test.appid {
				t.Errorf("HTTP %d: asked for %v", rec.Code, b.Heads())
			}
			if len(w.audited) != 1 || w.audited[0].AppID != test.appid {
				t.Errorf("audited as %+v", w.audited)
			}
		})
	}
}

// TestQuotaInTheAudit: what WeChat refuses for today has HTTP's status for that.
func TestQuotaInTheAudit(t *testing.T) {
	w := newWorld(t, &brokertest.Broker{Answer: brokertest.Fail(brokertest.Refusal(t, codes.ResourceExhausted, 45009, "reach max api daily quota limit", time.Hour))})
	rec := w.call(apitest.WithKey(apitest.Get("/cgi-bin/user/get", "")))
	if code, _ := apitest.Refusal(t, rec); rec.Code != http.StatusOK || code != 45009 || w.audited[0].Status != http.StatusTooManyRequests {
		t.Errorf("HTTP %d: %s, audited as %+v", rec.Code, rec.Body, w.audited)
	}
}
