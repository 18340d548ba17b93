package wechatapi_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/edge/internal/alias"
	"github.com/wxbroker/wxbroker/edge/internal/apitest"
	"github.com/wxbroker/wxbroker/edge/internal/audit"
	"github.com/wxbroker/wxbroker/edge/internal/brokertest"
	"github.com/wxbroker/wxbroker/pkg/credential"
)

var (
	onlyToken  = []credential.Kind{credential.AccessToken}
	bothTicket = []credential.Kind{credential.JSAPITicket, credential.WXCardTicket}
)

// tokenRequests are WeChat's two ways to ask for a token.
func tokenRequests(appid, secret string) map[string]*http.Request {
	return map[string]*http.Request{
		"token":                apitest.Get("/cgi-bin/token", "grant_type=client_credential&appid="+appid+"&secret="+secret),
		"token of other order": apitest.Get("/cgi-bin//token/", "secret="+secret+"&appid="+appid+"&grant_type=client_credential"),
		"stable token":         apitest.Post("/cgi-bin/stable_token", apitest.JSONType, `{"grant_type":"client_credential","appid":"`+appid+`","secret":"`+secret+`"}`),
		"stable token, forced": apitest.Post("/cgi-bin/./stable_token", "", `{"grant_type":"client_credential","appid":"`+appid+`","secret":"`+secret+`","force_refresh":true}`),
	}
}

type tokenBody struct {
	AccessToken string `json:"access_token"`
	ExpiresIn   int    `json:"expires_in"`
	ErrCode     int    `json:"errcode"`
}

func decoded[T any](t testing.TB, raw []byte) T {
	t.Helper()
	var body T
	if err := json.Unmarshal(raw, &body); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return body
}

// The access_token goes to who may have it, and says how long a copy of it is
// good.
func TestWeChatToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, new(brokertest.Broker))
		for name, r := range tokenRequests(shop, "k") {
			w.state.Apply([]credential.Account{apitest.Holding(shop, onlyToken, apitest.Live(credential.AccessToken, "57_token", 2*time.Hour, time.Hour+500*time.Millisecond))})
			rec := w.call(r)
			if rec.Code != http.StatusOK || strings.TrimSpace(rec.Body.String()) != `{"access_token":"57_token","expires_in":3890}` {
				t.Errorf("%s: HTTP %d: %s", name, rec.Code, rec.Body)
			}
			apitest.Audited(t, w.audited, audit.Entry{LocalKey: "billing", Action: audit.Token, Kind: credential.AccessToken, AppID: shop, Status: 200})
		}
	})
}

// Who may only have calls made gets what stands for it.
func TestAliasInPlaceOfTheToken(t *testing.T) {
	w := newWorld(t, new(brokertest.Broker))
	for name, r := range tokenRequests(shop, "k") {
		rec := w.call(r)
		got := decoded[tokenBody](t, rec.Body.Bytes())
		holder, _, ok := alias.Open(apitest.AliasKey(shop), shop, got.AccessToken, time.Now())
		if rec.Code != http.StatusOK || got.ExpiresIn != 7200 || !ok || holder != "billing" {
			t.Errorf("%s: HTTP %d: %s", name, rec.Code, rec.Body)
		}
		apitest.Audited(t, w.audited, audit.Entry{LocalKey: "billing", Action: audit.Token, Kind: credential.AccessToken, AppID: shop, Status: 200})
	}
}

func TestWeChatTokenErrors(t *testing.T) {
	const ask = "/cgi-bin/token"
	const stable = "/cgi-bin/stable_token"
	good := func(appid string) string { return "grant_type=client_credential&appid=" + appid + "&secret=k" }
	tests := []struct {
		name     string
		request  *http.Request
		accounts []credential.Account
		errcode  int
		status   int // in the audit
	}{
		{"POST", apitest.Post(ask, apitest.FormType, good(shop)), nil, 43001, 400},
		{"HEAD", func() *http.Request { r := apitest.Get(ask, good(shop)); r.Method = http.MethodHead; return r }(), nil, 43001, 400},
		{"GET of a stable token", apitest.Get(stable, good(shop)), nil, 43002, 400},
		{"a form for a stable token", apitest.Post(stable, apitest.FormType, good(shop)), nil, 47001, 400},
		{"no object for a stable token", apitest.Post(stable, apitest.JSONType, `"a"`), nil, 47001, 400},
		{"null for a stable token", apitest.Post(stable, apitest.JSONType, `null`), nil, 47001, 400},
		{"a number as secret", apitest.Post(stable, apitest.JSONType, `{"grant_type":"client_credential","appid":"a","secret":1}`), nil, 47001, 400},
		{"too much for a stable token", apitest.Post(stable, apitest.JSONType, `{"secret":"`+strings.Repeat("a", 64<<10)+`"}`), nil, 47001, 400},
		{"no grant_type", apitest.Get(ask, "appid="+shop+"&secret=k"), nil, 40002, 400},
		{"another grant_type", apitest.Get(ask, "grant_type=code&appid="+shop+"&secret=k"), nil, 40002, 400},
		{"no appid", apitest.Get(ask, "grant_type=client_credential&secret=k"), nil, 41002, 400},
		{"no secret", apitest.Get(ask, "grant_type=client_credential&appid="+shop), nil, 41004, 401},
		{"another secret", apitest.Get(ask, "grant_type=client_credential&appid="+shop+"&secret=x"), nil, 40125, 401},
		{"another secret, for an account that is not served", apitest.Get(ask, "grant_type=client_credential&appid=wxunknown&secret=x"), nil, 40125, 401},
		{"an account that is not served", apitest.Get(ask, good("wxunknown")), nil, 40013, 400},
		{"what is no account", apitest.Get(ask, good("a%20b")), nil, 40013, 400},
		{"before the broker is heard", apitest.Get(ask, good(shop)), []credential.Account{}, -1, 503},
		{"no token yet", apitest.Get(ask, good(shop)), []credential.Account{apitest.Holding(shop, onlyToken)}, -1, 503},
		{"an expired token", apitest.Get(ask, good(shop)), []credential.Account{apitest.Holding(shop, onlyToken, apitest.Live(credential.AccessToken, "old", -time.Second, 0))}, -1, 503},
		{"a token of half a second", apitest.Get(ask, good(shop)), []credential.Account{apitest.Holding(shop, onlyToken, apitest.Live(credential.AccessToken, "old", time.Second/2, 0))}, -1, 503},
		{"neither token nor calls", apitest.Get(ask, good(shop)), []credential.Account{apitest.Holding(shop, bothTicket)}, 48001, 403},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, new(brokertest.Broker))
			if test.accounts != nil {
				w.state.Apply(test.accounts)
			}
			rec := w.call(test.request)
			if code, message := apitest.Refusal(t, rec); rec.Code != http.StatusOK || code != test.errcode || strings.Contains(message, "old") {
				t.Errorf("HTTP %d: %s", rec.Code, rec.Body)
			}
			if len(w.audited) != 1 || w.audited[0].Status != test.status || w.audited[0].Action != audit.Token {
				t.Errorf("audited as %+v", w.audited)
			}
		})
	}
}

// What ends within a second is handed out to nobody: an SDK that is told
// expires_in 0 asks again without end, or keeps it for ever.
func TestNothingIsHandedOutForNoTime(t *testing.T) {
	for left, want := range map[time.Duration]int{
		-time.Second: 0, 0: 0, time.Millisecond: 0, 999 * time.Millisecond: 0, time.Second: 1, 1999 * time.Millisecond: 1,
	} {
		requests := tokenRequests(shop, "k")
		for _, kind := range []string{"jsapi", "wx_card"} {
			requests["ticket, "+kind] = apitest.WithKey(apitest.Get("/cgi-bin/ticket/getticket", "type="+kind+"&appid="+shop))
		}
		for name, r := range requests {
			t.Run(name+" "+left.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { // in which no time passes
					w := newWorld(t, new(brokertest.Broker))
					w.state.Apply([]credential.Account{apitest.Holding(shop, append(onlyToken, bothTicket...),
						apitest.Live(credential.AccessToken, "a-value", left, 0), apitest.Live(credential.JSAPITicket, "a-value", left, 0), apitest.Live(credential.WXCardTicket, "a-value", left, 0))})
					rec := w.call(r)
					got := decoded[tokenBody](t, rec.Body.Bytes())
					switch is := strings.Contains(rec.Body.String(), "a-value"); {
					case want > 0 && (!is || got.ExpiresIn != want || got.ErrCode != 0):
						t.Errorf("answered %s, want it for %d s", rec.Body, want)
					case want == 0 && (is || got.ErrCode != -1 || strings.Contains(rec.Body.String(), "expires_in")):
						t.Errorf("answered %s", rec.Body)
					}
				})
			})
		}
	}
}

// An edge without local keys says why it lets nobody in, in WeChat's shape.
func TestWeChatsShapesWithoutLocalKeys(t *testing.T) {
	w := newWorld(t, new(brokertest.Broker))
	w.api.Door.Keys = nil
	w.state.Apply([]credential.Account{apitest.CallsOnly(shop), apitest.Holding(pay, onlyToken, apitest.Live(credential.AccessToken, "57_token", time.Hour, 0))})
	requests := map[*http.Request]int{
		apitest.Get("/cgi-bin/ticket/getticket", "type=jsapi&access_token=57_token"):                         40001,
		apitest.Get("/cgi-bin/user/get", "access_token=57_token"):                                            40001,
		apitest.Get("/sns/userinfo", "access_token=ut"):                                                      40001,
		apitest.Get("/sns/oauth2/access_token", "appid="+shop+"&secret=k&code=c"):                            40125,
		apitest.WithKey(apitest.Get("/cgi-bin/user/get", "")):                                                40001,
		apitest.Get("/cgi-bin/user/get", "access_token="+url.QueryEscape(apitest.Alias(t, shop, "billing"))): 40001,
	}
	for _, r := range tokenRequests(shop, "k") {
		requests[r] = 40125
	}
	for r, want := range requests {
		rec := w.call(r)
		if code, message := apitest.Refusal(t, rec); rec.Code != http.StatusOK || code != want || !strings.Contains(message, "--local-key-file") {
			t.Errorf("%s: HTTP %d: %s", r.URL, rec.Code, rec.Body)
		}
	}
}
