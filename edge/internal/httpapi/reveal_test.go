package httpapi_test

import (
	"net/http"
	"testing"

	"github.com/wxbroker/wxbroker/edge/internal/apitest"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

func TestWhatHandsOutCredentialsIsLocked(t *testing.T) {
	const keys = "billing 9d1e\nreports 77aa\n"
	tests := []struct {
		name, keys, authorization string
		status                    int
		says                      string
	}{
		{"no keys, nothing presented", "", "", 403, "--local-key-file"},
		{"no keys, something presented", "", "Bearer 9d1e", 403, "--local-key-file"},
		{"no keys, an empty one presented", "", "Bearer ", 403, "--local-key-file"},
		{"nothing presented", keys, "", 401, "Bearer"},
		{"an empty key", keys, "Bearer ", 401, "Bearer"},
		{"the scheme alone", keys, "Bearer", 401, "Bearer"},
		{"a wrong key", keys, "Bearer 9d1f", 401, "Bearer"},
		{"the beginning of a key", keys, "Bearer 9d1", 401, "Bearer"},
		{"a key and more", keys, "Bearer 9d1e77aa", 401, "Bearer"},
		{"the name of a key", keys, "Bearer billing", 401, "Bearer"},
		{"a key under another scheme", keys, "Basic 9d1e", 401, "Bearer"},
		{"a key without a scheme", keys, "9d1e", 401, "Bearer"},
		{"a key", keys, "Bearer 9d1e", 200, ""},
		{"the other key", keys, "Bearer 77aa", 200, ""},
		{"a key after several spaces", keys, "Bearer   77aa", 200, ""},
		{"a key after a tab", keys, "Bearer\t77aa", 401, "Bearer"},
		{"the scheme in another case", keys, "bearer 77aa", 200, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := oneShop(t)
			if test.keys != "" {
				w.setKeys(test.keys)
			}
			for _, path := range []string{"/token", "/ticket"} {
				for _, r := range []*http.Request{apitest.Get(path, ""), apitest.Post(path, apitest.FormType, "appid="+shop)} {
					if test.authorization != "" {
						r.Header.Set("Authorization", test.authorization)
					}
					a := w.ask(r)
					if test.status != http.StatusOK {
						refused(t, a, test.status, test.says)
						if got := a.header.Get("WWW-Authenticate"); (got == "Bearer") != (a.status == http.StatusUnauthorized) {
							t.Errorf("HTTP %d with WWW-Authenticate %q", a.status, got)
						}
						continue
					}
					if len(a.body) != 1 || !w.sim.TokenAlive(a.text("token")) && !w.sim.TicketAlive(a.text("ticket")) {
						t.Errorf("%s: HTTP %d with nothing that WeChat takes", path, a.status)
					}
				}
			}
		})
	}
}

// A key in the URL would end up in logs: it is not looked for there.
func TestKeyInTheURL(t *testing.T) {
	w := oneShop(t)
	w.setKeys("9d1e")
	refused(t, w.ask(apitest.Get("/token", "key=9d1e&access_token=9d1e&authorization=Bearer+9d1e")), http.StatusUnauthorized, "Bearer")
}

// Whoever has no key learns nothing: neither which accounts there are nor what
// was wrong with the rest of the request.
func TestKeyComesFirst(t *testing.T) {
	w := oneShop(t)
	w.setKeys("9d1e")
	for _, query := range []string{"", "appid=" + shop, "appid=wxunknown", "%zz"} {
		a := w.ask(apitest.Get("/token", query))
		refused(t, a, http.StatusUnauthorized, "Bearer")
	}
}

func TestRevealChoosesAccountAndKind(t *testing.T) {
	w := newWorld(t, wechatsim.Settings{})
	w.setKeys("k")
	both := []credential.Account{w.account(shop), w.account(pay, "pay.example.com")}
	ask := func(path, query string) answer {
		r := apitest.Get(path, query)
		r.Header.Set("Authorization", "Bearer k")
		return w.ask(r)
	}
	w.state.Apply(both)
	for _, account := range both {
		token, _ := account.Credential(credential.AccessToken)
		if a := ask("/token", "appid="+account.AppID); a.text("token") != token.Value.Reveal() {
			t.Errorf("%s: another account's token", account.AppID)
		}
	}
	refused(t, ask("/token", ""), http.StatusBadRequest, "appid")
	refused(t, ask("/ticket", "appid=wxunknown"), http.StatusBadRequest, "wxunknown")

	w.state.Apply([]credential.Account{both[0].Only([]credential.Kind{credential.JSAPITicket})})
	for _, query := range []string{"", "appid=" + shop} {
		a := ask("/token", query)
		refused(t, a, http.StatusForbidden, "does not grant the access_token")
		if again, ok := a.header["Retry-After"]; ok {
			t.Errorf("it is to be asked again after %s", again)
		}
	}
	if a := ask("/ticket", ""); a.status != http.StatusOK {
		t.Errorf("the ticket: HTTP %d", a.status)
	}
	starting := both[0]
	starting.Credentials = nil
	w.state.Apply([]credential.Account{starting})
	refused(t, ask("/token", ""), http.StatusServiceUnavailable, "no access_token of "+shop+" yet")
}
