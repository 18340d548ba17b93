package wechatsim_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

// control sends a control call and returns status and body.
func (w *wechat) control(method, path, body string) (int, string) {
	w.t.Helper()
	status, header, text, err := w.exchange(method, path, body)
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	for name := range header {
		if strings.HasPrefix(name, "Access-Control-") {
			w.t.Errorf("%s %s: header %s", method, path, name)
		}
	}
	return status, text
}

func TestControlCallsDoWhatTheirMethodsDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{TokenOverlap: wechatsim.None, ClassicQuota: 4})
		ok := func(path, body string) {
			t.Helper()
			if status, text := w.control("POST", path, body); status != 200 || text != `{"ok":true}` {
				t.Errorf("%s: status %d, body %s", path, status, text)
			}
		}
		id := `"appid":"` + appid + `"`

		token := w.granted(w.classic())
		ok("/sim/rotate-token", `{`+id+`}`)
		if w.probe(token) != 40001 {
			t.Error("rotate-token: the token is still good")
		}
		token = w.granted(w.classic())
		ticket := w.granted(w.ticket(token, "jsapi"))
		ok("/sim/kill-ticket", `{`+id+`,"type":"jsapi"}`)
		if w.TicketAlive(ticket) {
			t.Error("kill-ticket: the ticket is still good")
		}
		ok("/sim/kill-token", `{`+id+`,"api":"classic"}`)
		if w.probe(token) != 40001 {
			t.Error("kill-token: the token is still good")
		}
		stable := w.granted(w.stable(false))
		ok("/sim/kill-token", `{`+id+`,"api":"stable","stuck":true}`)
		if w.granted(w.stable(false)) != stable || w.TokenAlive(stable) {
			t.Error("kill-token: the token is not stuck")
		}
		ok("/sim/force-token", `{`+id+`}`)
		if next := w.granted(w.stable(false)); next == stable || w.probe(next) != 0 {
			t.Error("force-token: the token is not replaced")
		}
		ok("/sim/allow-list", `{`+id+`,"allow":["203.0.113.7"]}`)
		if r := w.classic(); r.Code != 40164 {
			t.Errorf("allow-list: %d", r.Code)
		}
		ok("/sim/allow-list", `{`+id+`,"allow":[]}`)
		ok("/sim/secret", `{`+id+`,"secret":"new"}`)
		if r := w.classic(); r.Code != 40125 {
			t.Errorf("secret: %d", r.Code)
		}
		ok("/sim/secret", `{`+id+`,"secret":"`+secret+`"}`)
		w.granted(w.classic())
		w.granted(w.classic())
		if r := w.classic(); r.Code != 45009 {
			t.Errorf("quota: %d", r.Code)
		}
		ok("/sim/clear-quota", `{`+id+`}`)
		w.granted(w.classic())

		ok("/sim/faults", `{"kind":"delay","path":"/cgi-bin/token","count":2,"duration":"1m30s"}`)
		want := `[{"kind":"delay","path":"/cgi-bin/token","count":2,"duration":"1m30s"}]`
		if _, text := w.control("GET", "/sim/faults", ""); text != want {
			t.Errorf("faults: %s, want %s", text, want)
		}
		w.control("DELETE", "/sim/faults", "")
		if _, text := w.control("GET", "/sim/faults", ""); text != "[]" {
			t.Errorf("faults after they were cleared: %s", text)
		}
	})
}

func TestControlCallsThatAreWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{})
		w.AddAccount(wechatsim.Account{AppID: "wxother", Secret: secret})
		tests := []struct{ name, method, path, body, want string }{
			{"no JSON", "POST", "/sim/faults", "x", "body"},
			{"unknown field", "POST", "/sim/faults", `{"kind":"reset","delay":"1s"}`, "unknown field"},
			{"unknown kind", "POST", "/sim/faults", `{"kind":"boom"}`, "unknown kind"},
			{"no duration", "POST", "/sim/faults", `{"kind":"delay","duration":"soon"}`, "invalid duration"},
			{"unknown account", "POST", "/sim/rotate-token", `{"appid":"wx1"}`, "no account"},
			{"unknown account to force", "POST", "/sim/force-token", `{"appid":"wx1"}`, "no account"},
			{"stuck classic", "POST", "/sim/kill-token", `{"appid":"` + appid + `","api":"classic","stuck":true}`, "cannot be stuck"},
			{"empty secret", "POST", "/sim/secret", `{"appid":"` + appid + `"}`, "empty"},
			{"no address", "POST", "/sim/allow-list", `{"appid":"` + appid + `","allow":["here"]}`, "neither"},
			{"which account", "GET", "/sim/state", "", "which appid: " + appid + ", wxother"},
			{"state of nobody", "GET", "/sim/state?appid=wx1", "", "no account"},
		}
		for _, tt := range tests {
			status, text := w.control(tt.method, tt.path, tt.body)
			var e struct{ Error string }
			if err := json.Unmarshal([]byte(text), &e); err != nil || status != 400 || !strings.Contains(e.Error, tt.want) {
				t.Errorf("%s: status %d, body %s, want %q", tt.name, status, text, tt.want)
			}
		}
		if status, _ := w.control("GET", "/sim/rotate-token", ""); status != http.StatusMethodNotAllowed {
			t.Errorf("GET of an action: status %d", status)
		}
	})
}

func TestControlRefusesOtherSites(t *testing.T) {
	sim := wechatsim.New(wechatsim.Config{Accounts: []wechatsim.Account{{AppID: appid, Secret: secret}}})
	r := httptest.NewRequest(http.MethodPost, "/sim/rotate-token", strings.NewReader(`{"appid":"`+appid+`"}`))
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	answer := httptest.NewRecorder()
	sim.ServeHTTP(answer, r)
	if answer.Code != http.StatusForbidden || len(sim.Issued(appid)) != 0 {
		t.Errorf("status %d, %d values minted", answer.Code, len(sim.Issued(appid)))
	}
}

func TestVerifyOverHTTP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{})
		ticket := w.granted(w.ticket(w.granted(w.classic()), "jsapi"))
		const page = "https://a/?b=1&c=%20"
		q := url.Values{
			"appid": {appid}, "noncestr": {"n"}, "timestamp": {"1"}, "url": {page},
			"signature": {sign(ticket, "n", "1", page)},
		}
		want := `{"accepted":true,"reason":"ticket #1 made it and lives 7200s more","ticket":1}`
		if _, text := w.control("GET", "/sim/verify?"+q.Encode(), ""); text != want {
			t.Errorf("%s, want %s", text, want)
		}
		q.Set("url", "https://a/")
		if _, text := w.control("GET", "/sim/verify?"+q.Encode(), ""); !strings.HasPrefix(text, `{"accepted":false,`) {
			t.Errorf("another page: %s", text)
		}
		q.Set("url", page)
		if err := w.KillTicket(appid, wechatsim.JSAPI); err != nil {
			t.Fatal(err)
		}
		if _, text := w.control("GET", "/sim/verify?"+q.Encode(), ""); !strings.HasSuffix(text, `,"ticket":1,"ended":"killed"}`) {
			t.Errorf("killed: %s", text)
		}
	})
}

func TestStateAndPageHoldNoSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{})
		token := w.granted(w.classic())
		w.granted(w.classic())
		w.granted(w.stable(true))
		w.granted(w.ticket(token, "jsapi"))
		users := w.exchangeCode(w.authorize(somebody, wechatsim.ScopeUserInfo))
		w.do("GET", wechatsim.PathOAuthCheck+"?access_token="+users.Token+"&openid="+somebody.OpenID, "")
		w.do("GET", classicPath(secret, secret), "") // somebody swapped the two
		if err := w.Inject(wechatsim.Fault{Kind: wechatsim.FaultEcho, Count: 1}); err != nil {
			t.Fatal(err)
		}
		w.classic()

		var st wechatsim.State
		_, state := w.control("GET", "/sim/state", "")
		if err := json.Unmarshal([]byte(state), &st); err != nil {
			t.Fatal(err)
		}
		if len(st.Credentials) != 4 || st.UsedToday["stable_token_force"] != 1 {
			t.Errorf("state: %s", state)
		}
		want := []wechatsim.Counter{
			{API: wechatsim.PathStableToken, Outcome: "ok", Count: 1},
			{API: wechatsim.PathTicket, Outcome: "ok", Count: 1},
			{API: wechatsim.PathToken, Outcome: "fault:echo", Count: 1},
			{API: wechatsim.PathToken, Outcome: "ok", Count: 2},
			{API: wechatsim.PathOAuthCheck, Outcome: "ok", Count: 1},
			{API: wechatsim.PathOAuthToken, Outcome: "ok", Count: 1},
		}
		if !slices.Equal(st.Calls, want) {
			t.Errorf("calls: %+v, want %+v", st.Calls, want)
		}
		_, page := w.control("GET", "/", "")
		if !strings.Contains(page, appid) || !strings.Contains(page, "fault:echo") || !strings.Contains(page, "/sim/kill-ticket") {
			t.Errorf("page: %s", page)
		}
		if strings.Contains(page, "http://") || strings.Contains(page, "https://") {
			t.Error("the page refers to another host")
		}
		for _, value := range slices.Concat(w.Issued(appid), w.IssuedOAuth(appid), []string{secret}) {
			if strings.Contains(state, value) || strings.Contains(page, value) {
				t.Errorf("shown: %q", value)
			}
		}
	})
}
