package httpapi_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/edge/internal/apitest"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

func TestWhichAccountSigns(t *testing.T) {
	tests := []struct {
		name       string
		shop, pay  []string // sign_hosts; nil where the account is absent
		appid, url string
		signs      string // the appid, or "" for a refusal
		status     int
		says       string
	}{
		{"the only account", []string{}, nil, "", page, shop, 0, ""},
		{"the only account, its host", []string{"shop.example.com"}, nil, "", page, shop, 0, ""},
		{"the only account, by name", []string{}, nil, shop, page, shop, 0, ""},
		{"the only account, another host", []string{"shop.example.com"}, nil, "", "https://evil.example/", "", 403, "sign_hosts"},
		{"the only account, below its host", []string{"shop.example.com"}, nil, "", "https://a.shop.example.com/", "", 403, "sign_hosts"},
		{"the only account, a host that ends alike", []string{"*.example.com"}, nil, "", "https://badexample.com/", "", 403, "sign_hosts"},
		{"the only account, another appid", []string{}, nil, pay, page, "", 400, pay},
		{"wildcard", []string{"*.example.com"}, nil, "", page, shop, 0, ""},
		{"wildcard is not the host itself", []string{"*.example.com"}, nil, "", "https://example.com/", "", 403, "sign_hosts"},
		{"host in capitals", []string{"shop.example.com"}, nil, "", "https://SHOP.example.com/", shop, 0, ""},
		{"host in Unicode", []string{"xn--fsqu00a.example"}, nil, "", "https://例子.example/", shop, 0, ""},
		{"port that the rule names", []string{"shop.example.com:8443"}, nil, "", "https://shop.example.com:8443/", shop, 0, ""},
		{"port that is the scheme's own", []string{"shop.example.com:443"}, nil, "", page, shop, 0, ""},
		{"port that is another scheme's own", []string{"shop.example.com:80"}, nil, "", page, "", 403, "sign_hosts"},
		{"port that it does not", []string{"shop.example.com:8443"}, nil, "", page, "", 403, "sign_hosts"},

		{"two, one names the host", []string{"shop.example.com"}, []string{"pay.example.com"}, "", page, shop, 0, ""},
		{"two, the other names it", []string{"shop.example.com"}, []string{"pay.example.com"}, "", "https://pay.example.com/", pay, 0, ""},
		{"two, one takes any", []string{}, []string{"pay.example.com"}, "", "https://pay.example.com/", pay, 0, ""},
		{"two, neither names it", []string{"shop.example.com"}, []string{"pay.example.com"}, "", "https://evil.example/", "", 400, "appid"},
		{"two, both name it", []string{"*.example.com"}, []string{"shop.example.com"}, "", page, "", 400, "appid"},
		{"two that take any", []string{}, []string{}, "", page, "", 400, "appid"},
		{"two, by name", []string{}, []string{}, pay, page, pay, 0, ""},
		{"two, the wrong name", []string{"shop.example.com"}, []string{"pay.example.com"}, pay, page, "", 403, "sign_hosts"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, wechatsim.Settings{})
			accounts := []credential.Account{w.account(shop, test.shop...)}
			if test.pay != nil {
				accounts = append(accounts, w.account(pay, test.pay...))
			}
			w.state.Apply(accounts)
			for way, r := range ways("/all", pairs{"url", test.url, "appid", test.appid}) {
				a := w.ask(r)
				if test.signs == "" {
					refused(t, a, test.status, test.says)
					continue
				}
				w.accept(a)
				if a.text("appId") != test.signs {
					t.Errorf("%s: %s signed", way, a.text("appId"))
				}
			}
		})
	}
}

// A refusal names the host as it was compared, so that it can be pasted into
// sign_hosts.
func TestRefusedHostIsNamed(t *testing.T) {
	tests := []struct {
		name  string
		hosts []string
		url   string
		says  string
	}{
		{"as it is", []string{"shop.example.com"}, "https://evil.example/x?y", "pages of evil.example may not"},
		{"capitals", []string{"shop.example.com"}, "https://EVIL.example/", "pages of evil.example may not"},
		{"Unicode", []string{"shop.example.com"}, "https://例子.example/", "pages of xn--fsqu00a.example may not"},
		{"a port that does not matter", []string{"shop.example.com"}, "https://evil.example:8443/", "pages of evil.example may not"},
		{"a port that does", []string{"shop.example.com:8443"}, "https://shop.example.com/", "pages of shop.example.com:443 may not"},
		{"a port that does for another rule", []string{"a.example:8443", "shop.example.com"}, "http://evil.example/", "pages of evil.example:80 may not"},
		{"IPv6", []string{"shop.example.com:8443"}, "https://[2001:DB8:0::1]:8443/", "pages of [2001:db8::1]:8443 may not"},
		{"another that it would serve", []string{"shop.example.com"}, "https://shop.example.com/?a&url=https://EVIL.example:8443/", "pages of evil.example may not be signed for " + shop + ": its sign_hosts do not name it, and a signature of this url would serve one"},
		{"another that it would serve, by port", []string{"shop.example.com:443"}, "https://shop.example.com/?a&url=http://shop.example.com/", "pages of shop.example.com:80 may not"},
		{"another that is unclear", []string{"shop.example.com"}, "https://shop.example.com/?a&url=https:evil.example", "could be read as the address of another page"},
		{"one that is no host", []string{"shop.example.com"}, "https://a..b/", "pages of a..b may not"},
		{"one without end", []string{"shop.example.com"}, "https://" + strings.Repeat("a", 8000) + "/", strings.Repeat("a", 255) + "… may not"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, wechatsim.Settings{})
			w.state.Apply([]credential.Account{w.account(shop, test.hosts...)})
			for _, r := range ways("/all", pairs{"url", test.url}) {
				refused(t, w.ask(r), http.StatusForbidden, test.says)
			}
		})
	}
}

// What looks like another page's address in a URL does no harm where that page
// may be signed as well, or any.
func TestURLInAURL(t *testing.T) {
	tests := []struct {
		name  string
		hosts []string
		url   string
	}{
		{"of the same host", []string{"shop.example.com"}, "https://shop.example.com/login?a&url=https://shop.example.com/cart"},
		{"of another rule", []string{"shop.example.com", "*.example.net"}, "https://shop.example.com/login?a&url=https://a.example.net/cart"},
		{"escaped", []string{"shop.example.com"}, "https://shop.example.com/login?a&url=https%3A%2F%2Fevil.example"},
		{"as another parameter", []string{"shop.example.com"}, "https://shop.example.com/login?a&to=https://evil.example"},
		{"where any may be signed", nil, "https://shop.example.com/login?a&url=https://evil.example"},
		{"unclear, where any may be signed", nil, "https://shop.example.com/login?a&url=https:evil.example"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, wechatsim.Settings{})
			w.state.Apply([]credential.Account{w.account(shop, test.hosts...)})
			for _, r := range ways("/all", pairs{"url", test.url}) {
				w.accept(w.ask(r))
			}
		})
	}
}

// Nothing has come from the broker yet: an appid is not unknown, it is not
// there.
func TestBeforeTheBrokerIsHeard(t *testing.T) {
	for _, given := range []pairs{{"url", page}, {"url", page, "appid", shop}} {
		w := newWorld(t, wechatsim.Settings{})
		w.setKeys("k")
		for _, path := range append([]string{"/token", "/ticket"}, signs...) {
			r := apitest.Post(path, apitest.FormType, given.form())
			r.Header.Set("Authorization", "Bearer k")
			a := w.ask(r)
			refused(t, a, http.StatusServiceUnavailable, "the broker has not sent any")
			if a.header.Get("Retry-After") == "" {
				t.Errorf("%s: no Retry-After", path)
			}
		}
		if a := w.ask(apitest.Get("/nonce", "")); a.status != http.StatusOK {
			t.Errorf("a nonce needs no broker: %s", a.raw)
		}
	}
}

// Until its hard expiry a ticket signs; from then on the answer is 503, at
// every path that would use it.
func TestTicketExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const life = 20
		w := newWorld(t, wechatsim.Settings{TicketLifetime: life * time.Second})
		w.state.Apply([]credential.Account{w.account(shop)})
		w.setKeys("k")
		for second := range life + 5 {
			for _, path := range signs {
				a := w.ask(apitest.Post(path, apitest.FormType, pairs{"url", page, "noncestr", "abc"}.form()))
				if second < life {
					w.acceptAs(a, shop, "abc", page)
				} else {
					refused(t, a, http.StatusServiceUnavailable, "expired")
				}
			}
			r := apitest.Get("/ticket", "")
			r.Header.Set("Authorization", "Bearer k")
			a := w.ask(r)
			if second < life {
				if !w.sim.TicketAlive(a.text("ticket")) {
					t.Errorf("after %d s /ticket answers %s", second, a.raw)
				}
			} else {
				refused(t, a, http.StatusServiceUnavailable, "expired")
			}
			time.Sleep(time.Second)
		}
		// The next ticket is served again.
		w.state.Apply([]credential.Account{w.account(shop)})
		w.accept(w.ask(apitest.Get("/all", pairs{"url", page}.form())))
	})
}
