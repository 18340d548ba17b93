package httpapi_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/wxbroker/wxbroker/edge/internal/apitest"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

// shared are the paths whose answers a page of another origin may read.
var shared = append([]string{"/nonce"}, signs...)

// sharing returns a world with two accounts, the first with these hosts.
func sharing(t *testing.T, hosts ...string) *world {
	t.Helper()
	w := newWorld(t, wechatsim.Settings{})
	w.setKeys("k")
	w.state.Apply([]credential.Account{w.account(shop, hosts...), w.account(pay, "pay.example.net")})
	return w
}

// preflight is what a browser asks before a request that is not a simple one.
func preflight(path, origin, method string, headers ...string) *http.Request {
	r := httptest.NewRequest(http.MethodOptions, path, nil)
	r.Header.Set("Origin", origin)
	r.Header.Set("Access-Control-Request-Method", method)
	for _, header := range headers {
		r.Header.Add("Access-Control-Request-Headers", header)
	}
	return r
}

// allows reports whether an answer lets a page of that origin read it, and
// fails if it lets more than that.
func allows(t *testing.T, a answer, origin string) bool {
	t.Helper()
	allowed := a.header.Values("Access-Control-Allow-Origin")
	if len(allowed) > 1 || len(allowed) == 1 && allowed[0] != origin {
		t.Errorf("%q is answered with the origins %q", origin, allowed)
	}
	if got := a.header.Get("Access-Control-Allow-Credentials"); got != "" {
		t.Errorf("Access-Control-Allow-Credentials is %q", got)
	}
	return len(allowed) == 1
}

func TestOriginsThatMayRead(t *testing.T) {
	tests := []struct {
		name   string
		hosts  []string
		origin string
		may    bool
	}{
		{"the host", []string{"shop.example.com"}, "https://shop.example.com", true},
		{"the host over http", []string{"shop.example.com"}, "http://shop.example.com", true},
		{"the host at any port", []string{"shop.example.com"}, "https://shop.example.com:8443", true},
		{"below a wildcard", []string{"*.example.com"}, "https://a.b.example.com", true},
		{"the second rule", []string{"a.example", "shop.example.com"}, "https://shop.example.com", true},
		{"the other account's host", []string{"shop.example.com"}, "https://pay.example.net", true},
		{"the port of the rule", []string{"shop.example.com:8443"}, "https://shop.example.com:8443", true},
		{"the scheme's own port", []string{"shop.example.com:443"}, "https://shop.example.com", true},
		{"the other scheme's own port", []string{"shop.example.com:80"}, "http://shop.example.com", true},
		{"an IPv6 address", []string{"[::1]"}, "https://[::1]:8443", true},
		{"punycode of a rule in Unicode", []string{"例子.example"}, "https://xn--fsqu00a.example", true},

		{"another host", []string{"shop.example.com"}, "https://evil.example", false},
		{"a host below", []string{"shop.example.com"}, "https://a.shop.example.com", false},
		{"the wildcard's own host", []string{"*.example.com"}, "https://example.com", false},
		{"a host that ends alike", []string{"*.example.com"}, "https://badexample.com", false},
		{"another port", []string{"shop.example.com:8443"}, "https://shop.example.com", false},
		{"the port of another scheme", []string{"shop.example.com:443"}, "http://shop.example.com", false},
		{"any host may be signed", nil, "https://evil.example", false},
		{"a sandboxed page", []string{"shop.example.com"}, "null", false},
		{"no scheme", []string{"shop.example.com"}, "shop.example.com", false},
		{"another scheme", []string{"shop.example.com"}, "ftp://shop.example.com", false},
		{"an extension", []string{"shop.example.com"}, "chrome-extension://shop.example.com", false},
		{"a URL", []string{"shop.example.com"}, "https://shop.example.com/", false},
		{"a URL with a fragment", []string{"shop.example.com"}, "https://shop.example.com#", false},
		{"a URL with a query", []string{"shop.example.com"}, "https://shop.example.com?", false},
		{"user information", []string{"shop.example.com"}, "https://shop.example.com@evil.example", false},
		{"two", []string{"shop.example.com"}, "https://shop.example.com https://evil.example", false},
		{"a star", []string{"shop.example.com"}, "*", false},
		{"a header of its own", []string{"shop.example.com"}, "https://shop.example.com\r\nX: y", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := sharing(t, test.hosts...)
			for _, path := range shared {
				a := w.ask(preflight(path, test.origin, http.MethodPost, "content-type"))
				if allows(t, a, test.origin) != test.may || (a.status == http.StatusNoContent) != test.may {
					t.Errorf("preflight of %s: HTTP %d, %v", path, a.status, a.header)
				}
				if !test.may {
					refused(t, a, http.StatusForbidden, "sign_hosts")
				}
				r := apitest.Post(path, apitest.FormType, pairs{"url", page, "appid", shop}.form())
				r.Header.Set("Origin", test.origin)
				if a := w.ask(r); allows(t, a, test.origin) != test.may {
					t.Errorf("%s: HTTP %d, %v", path, a.status, a.header)
				}
			}
			// What hands out credentials is for no page.
			for _, path := range []string{"/token", "/ticket", "/v1/report"} {
				for _, method := range []string{http.MethodGet, http.MethodPost} {
					r := apitest.Post(path, apitest.FormType, "")
					r.Method = method
					r.Header.Set("Origin", test.origin)
					r.Header.Set("Authorization", "Bearer k")
					if a := w.ask(r); allows(t, a, test.origin) || a.header.Get("Vary") != "" {
						t.Errorf("%s: HTTP %d, %v", path, a.status, a.header)
					}
				}
				if a := w.ask(preflight(path, test.origin, http.MethodPost)); a.status != http.StatusMethodNotAllowed || allows(t, a, test.origin) {
					t.Errorf("preflight of %s: HTTP %d, %v", path, a.status, a.header)
				}
			}
		})
	}
}

// What a page may ask is what a path takes, and no more.
func TestPreflight(t *testing.T) {
	const origin = "https://shop.example.com"
	tests := []struct {
		name, method string
		headers      []string
		status       int
	}{
		{"POST with a content type", "POST", []string{"content-type"}, 204},
		{"POST", "POST", nil, 204},
		{"GET", "GET", nil, 204},
		{"PUT", "PUT", nil, 403},
		{"DELETE", "DELETE", nil, 403},
		{"with a key", "POST", []string{"authorization,content-type"}, 403},
		{"with another header", "POST", []string{"x-requested-with"}, 403},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := sharing(t, "shop.example.com")
			a := w.ask(preflight("/getApi", origin, test.method, test.headers...))
			if a.status != test.status || allows(t, a, origin) != (test.status == 204) || !strings.Contains(a.header.Get("Vary"), "Origin") {
				t.Fatalf("HTTP %d, %v", a.status, a.header)
			}
			if test.status != http.StatusNoContent {
				return
			}
			for header, want := range map[string]string{
				"Access-Control-Allow-Methods": test.method,
				"Access-Control-Allow-Headers": strings.Join(test.headers, ""),
				"Access-Control-Max-Age":       "600",
			} {
				if got := a.header.Get(header); got != want {
					t.Errorf("%s is %q, want %q", header, got, want)
				}
			}
		})
	}
}

// What a cache keeps of one origin's answer must not be another's, also where
// there is no origin or it may not read.
func TestAnswersVaryByOrigin(t *testing.T) {
	w := sharing(t, "shop.example.com")
	for _, path := range shared {
		for _, origin := range []string{"", "https://shop.example.com", "https://evil.example"} {
			for _, body := range []string{pairs{"url", page}.form(), "url=/relative"} {
				r := apitest.Post(path, apitest.FormType, body)
				if origin != "" {
					r.Header.Set("Origin", origin)
				}
				if a := w.ask(r); a.header.Get("Vary") != "Origin" {
					t.Errorf("%s for %q: HTTP %d, Vary is %q", path, origin, a.status, a.header.Get("Vary"))
				}
			}
		}
	}
}

// Why it was refused is for the page that asked, too.
func TestErrorsAreShared(t *testing.T) {
	const origin = "https://shop.example.com"
	w := sharing(t, "shop.example.com")
	for _, body := range []string{"url=/relative", pairs{"url", "https://evil.example/", "appid", shop}.form()} {
		r := apitest.Post("/getApi", apitest.FormType, body)
		r.Header.Set("Origin", origin)
		if a := w.ask(r); a.status < 400 || !allows(t, a, origin) {
			t.Errorf("HTTP %d: %v", a.status, a.header)
		}
	}
}

// When to ask again, too: a browser hides headers that are not named.
func TestRetryAfterIsShared(t *testing.T) {
	const origin = "https://shop.example.com"
	w := sharing(t, "shop.example.com")
	accounts := w.state.Accounts()
	accounts[0].Credentials = nil
	w.state.Apply(accounts)
	r := apitest.Get("/getApi", pairs{"url", page}.form())
	r.Header.Set("Origin", origin)
	a := w.ask(r)
	if a.status != http.StatusServiceUnavailable || !allows(t, a, origin) || a.header.Get("Retry-After") == "" || a.header.Get("Access-Control-Expose-Headers") != "Retry-After" {
		t.Errorf("HTTP %d: %v", a.status, a.header)
	}
}

func TestTwoOrigins(t *testing.T) {
	w := sharing(t, "shop.example.com")
	for _, r := range []*http.Request{apitest.Get("/nonce", ""), preflight("/nonce", "https://shop.example.com", http.MethodGet)} {
		r.Header["Origin"] = []string{"https://shop.example.com", "https://evil.example"}
		if a := w.ask(r); len(a.header.Values("Access-Control-Allow-Origin")) > 0 {
			t.Errorf("%s: %v", r.Method, a.header)
		}
	}
}

// A host that the broker adds or withdraws counts from the next request on.
func TestOriginsFollowTheState(t *testing.T) {
	const origin = "https://new.example.com"
	w := sharing(t, "shop.example.com")
	ask := func() bool {
		r := apitest.Get("/nonce", "")
		r.Header.Set("Origin", origin)
		return allows(t, w.ask(r), origin)
	}
	if ask() {
		t.Error("allowed before")
	}
	w.state.Apply([]credential.Account{w.account(shop, "new.example.com")})
	if !ask() {
		t.Error("not allowed")
	}
	w.state.Apply(nil)
	if ask() {
		t.Error("allowed afterwards")
	}
}
