package httpapi_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/edge/internal/alias"
	"github.com/wxbroker/wxbroker/edge/internal/audit"
	"github.com/wxbroker/wxbroker/pkg/credential"
)

// live is a credential as the broker sends it.
func live(kind credential.Kind, value string, left, replacedIn time.Duration) credential.Credential {
	now := credential.Clock(credential.WallClock).Now()
	c := credential.Credential{Kind: kind, Value: credential.NewSecret(value), Version: 1, Expiry: now.Add(left)}
	if replacedIn != 0 {
		c.Replaced = now.Add(replacedIn)
	}
	return c
}

// holding is an account of which these kinds are granted, and what there is of
// them.
func holding(appid string, kinds []credential.Kind, credentials ...credential.Credential) credential.Account {
	return credential.Account{AppID: appid, Kinds: kinds, Credentials: credentials}
}

var (
	onlyToken  = []credential.Kind{credential.AccessToken}
	bothTicket = []credential.Kind{credential.JSAPITicket, credential.WXCardTicket}
)

// tokenRequests are WeChat's two ways to ask for a token.
func tokenRequests(appid, secret string) map[string]*http.Request {
	return map[string]*http.Request{
		"token":                get("/cgi-bin/token", "grant_type=client_credential&appid="+appid+"&secret="+secret),
		"token of other order": get("/cgi-bin//token/", "secret="+secret+"&appid="+appid+"&grant_type=client_credential"),
		"stable token":         post("/cgi-bin/stable_token", jsonType, `{"grant_type":"client_credential","appid":"`+appid+`","secret":"`+secret+`"}`),
		"stable token, forced": post("/cgi-bin/./stable_token", "", `{"grant_type":"client_credential","appid":"`+appid+`","secret":"`+secret+`","force_refresh":true}`),
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
		w := callsWorld(t, new(fakeBroker))
		for name, r := range tokenRequests(shop, "k") {
			w.state.Apply([]credential.Account{holding(shop, onlyToken, live(credential.AccessToken, "57_token", 2*time.Hour, time.Hour+500*time.Millisecond))})
			rec := w.call(r)
			if rec.Code != http.StatusOK || strings.TrimSpace(rec.Body.String()) != `{"access_token":"57_token","expires_in":3890}` {
				t.Errorf("%s: HTTP %d: %s", name, rec.Code, rec.Body)
			}
			w.wasAudited(audit.Entry{LocalKey: "billing", Action: audit.Token, Kind: credential.AccessToken, AppID: shop, Status: 200})
		}
	})
}

// Who may only have calls made gets what stands for it.
func TestAliasInPlaceOfTheToken(t *testing.T) {
	w := callsWorld(t, new(fakeBroker))
	for name, r := range tokenRequests(shop, "k") {
		rec := w.call(r)
		got := decoded[tokenBody](t, rec.Body.Bytes())
		holder, _, ok := alias.Open(aliasKey(shop), shop, got.AccessToken, time.Now())
		if rec.Code != http.StatusOK || got.ExpiresIn != 7200 || !ok || holder != "billing" {
			t.Errorf("%s: HTTP %d: %s", name, rec.Code, rec.Body)
		}
		w.wasAudited(audit.Entry{LocalKey: "billing", Action: audit.Token, Kind: credential.AccessToken, AppID: shop, Status: 200})
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
		{"POST", post(ask, formType, good(shop)), nil, 43001, 400},
		{"HEAD", func() *http.Request { r := get(ask, good(shop)); r.Method = http.MethodHead; return r }(), nil, 43001, 400},
		{"GET of a stable token", get(stable, good(shop)), nil, 43002, 400},
		{"a form for a stable token", post(stable, formType, good(shop)), nil, 47001, 400},
		{"no object for a stable token", post(stable, jsonType, `"a"`), nil, 47001, 400},
		{"null for a stable token", post(stable, jsonType, `null`), nil, 47001, 400},
		{"a number as secret", post(stable, jsonType, `{"grant_type":"client_credential","appid":"a","secret":1}`), nil, 47001, 400},
		{"too much for a stable token", post(stable, jsonType, `{"secret":"`+strings.Repeat("a", 64<<10)+`"}`), nil, 47001, 400},
		{"no grant_type", get(ask, "appid="+shop+"&secret=k"), nil, 40002, 400},
		{"another grant_type", get(ask, "grant_type=code&appid="+shop+"&secret=k"), nil, 40002, 400},
		{"no appid", get(ask, "grant_type=client_credential&secret=k"), nil, 41002, 400},
		{"no secret", get(ask, "grant_type=client_credential&appid="+shop), nil, 41004, 401},
		{"another secret", get(ask, "grant_type=client_credential&appid="+shop+"&secret=x"), nil, 40125, 401},
		{"another secret, for an account that is not served", get(ask, "grant_type=client_credential&appid=wxunknown&secret=x"), nil, 40125, 401},
		{"an account that is not served", get(ask, good("wxunknown")), nil, 40013, 400},
		{"what is no account", get(ask, good("a%20b")), nil, 40013, 400},
		{"before the broker is heard", get(ask, good(shop)), []credential.Account{}, -1, 503},
		{"no token yet", get(ask, good(shop)), []credential.Account{holding(shop, onlyToken)}, -1, 503},
		{"an expired token", get(ask, good(shop)), []credential.Account{holding(shop, onlyToken, live(credential.AccessToken, "old", -time.Second, 0))}, -1, 503},
		{"a token of half a second", get(ask, good(shop)), []credential.Account{holding(shop, onlyToken, live(credential.AccessToken, "old", time.Second/2, 0))}, -1, 503},
		{"neither token nor calls", get(ask, good(shop)), []credential.Account{holding(shop, bothTicket)}, 48001, 403},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := callsWorld(t, new(fakeBroker))
			if test.accounts != nil {
				w.state.Apply(test.accounts)
			}
			rec := w.call(test.request)
			if code, message := refusalIn(t, rec); rec.Code != http.StatusOK || code != test.errcode || strings.Contains(message, "old") {
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
			requests["ticket, "+kind] = withKey(get("/cgi-bin/ticket/getticket", "type="+kind+"&appid="+shop))
		}
		for name, r := range requests {
			t.Run(name+" "+left.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { // in which no time passes
					w := callsWorld(t, new(fakeBroker))
					w.state.Apply([]credential.Account{holding(shop, append(onlyToken, bothTicket...),
						live(credential.AccessToken, "a-value", left, 0), live(credential.JSAPITicket, "a-value", left, 0), live(credential.WXCardTicket, "a-value", left, 0))})
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
	w := newWorld(t, nothingSpecial)
	w.state.Apply([]credential.Account{callsOnly(shop), holding(pay, onlyToken, live(credential.AccessToken, "57_token", time.Hour, 0))})
	requests := map[*http.Request]int{
		get("/cgi-bin/ticket/getticket", "type=jsapi&access_token=57_token"):                   40001,
		get("/cgi-bin/user/get", "access_token=57_token"):                                      40001,
		get("/sns/userinfo", "access_token=ut"):                                                40001,
		get("/sns/oauth2/access_token", "appid="+shop+"&secret=k&code=c"):                      40125,
		withKey(get("/cgi-bin/user/get", "")):                                                  40001,
		get("/cgi-bin/user/get", "access_token="+url.QueryEscape(aliasOf(t, shop, "billing"))): 40001,
	}
	for _, r := range tokenRequests(shop, "k") {
		requests[r] = 40125
	}
	for r, want := range requests {
		rec := w.call(r)
		if code, message := refusalIn(t, rec); rec.Code != http.StatusOK || code != want || !strings.Contains(message, "--local-key-file") {
			t.Errorf("%s: HTTP %d: %s", r.URL, rec.Code, rec.Body)
		}
	}
}

// aliasOf is an alias that another edge of the app made, for the holder of a
// key of its own.
func aliasOf(t testing.TB, appid, holder string) string {
	t.Helper()
	made, err := alias.New(aliasKey(appid), appid, holder, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func TestWeChatTicket(t *testing.T) {
	kinds := append([]credential.Kind{credential.AccessToken}, bothTicket...)
	empty := holding(pay, []credential.Kind{credential.JSAPITicket})
	empty.Calls, empty.AliasKey = everyCall, aliasKey(pay)
	page := `{"errcode":0,"errmsg":"ok","ticket":"page-ticket","expires_in":5400}`
	tests := []struct {
		name, query string
		key         bool
		holder      string
		want        string
		errcode     int
	}{
		{"by token", "type=jsapi&access_token=57_token", false, audit.SharedToken, page, 0},
		{"by alias", "type=jsapi&access_token=" + aliasOf(t, shop, "店"), false, "店", page, 0},
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
		{"a ticket that there is none of yet", "type=jsapi&access_token=" + aliasOf(t, pay, "a"), false, "", "", -1},
		{"a ticket that is not granted", "type=wx_card&access_token=" + aliasOf(t, pay, "a"), false, "", "", 48001},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // in which no time passes
				w := callsWorld(t, new(fakeBroker))
				full := holding(shop, kinds, live(credential.AccessToken, "57_token", time.Hour, 0),
					live(credential.JSAPITicket, "page-ticket", 90*time.Minute+500*time.Millisecond, 0), live(credential.WXCardTicket, "card-ticket", time.Hour, 0))
				full.Calls, full.AliasKey = everyCall, aliasKey(shop)
				w.state.Apply([]credential.Account{full, empty})
				r := get("/cgi-bin/ticket/getticket", test.query)
				if test.key {
					withKey(r)
				}
				rec := w.call(r)
				if test.errcode != 0 {
					if code, _ := refusalIn(t, rec); rec.Code != http.StatusOK || code != test.errcode {
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
				w.wasAudited(audit.Entry{LocalKey: test.holder, Action: audit.Ticket, Kind: kind, AppID: shop, Status: 200})
			})
		})
	}
	w := callsWorld(t, new(fakeBroker))
	if code, _ := refusalIn(t, w.call(post("/cgi-bin/ticket/getticket", formType, ""))); code != 43001 {
		t.Errorf("POST: %d", code)
	}
}
