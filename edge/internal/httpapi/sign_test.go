package httpapi_test

import (
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wxbroker/wxbroker/edge/internal/apitest"
)

func TestSignedAnswers(t *testing.T) {
	const (
		config  = "appId debug jsApiList nonceStr signature timestamp url"
		members = "appId nonceStr signature timestamp url"
	)
	tests := []struct{ path, members string }{
		{"/v1/jsapi/config", config},
		{"/getApi", config},
		{"/all", members},
		{"/v1/jsapi/signature", "noncestr signature timestamp"},
	}
	for _, test := range tests {
		for way, r := range ways(test.path, pairs{"url", page + "#top"}) {
			t.Run(test.path+" "+way, func(t *testing.T) {
				w := oneShop(t)
				a := w.ask(r)
				if got := strings.Join(slices.Sorted(maps.Keys(a.body)), " "); got != test.members {
					t.Errorf("members %s, want %s", got, test.members)
				}
				if test.path == "/v1/jsapi/signature" {
					w.acceptAs(a, shop, a.text("noncestr"), page)
					return
				}
				w.accept(a)
				if a.text("url") != page || a.text("appId") != shop {
					t.Errorf("signed %s for %s", a.text("url"), a.text("appId"))
				}
				if age := time.Since(time.Unix(int64(a.body["timestamp"].(float64)), 0)); age < 0 || age > time.Minute {
					t.Errorf("the timestamp is %v old", age)
				}
			})
		}
	}
}

// The URL that is signed is the page's, byte for byte.
func TestURLsAreSignedAsTheyAre(t *testing.T) {
	for _, address := range []string{
		"https://shop.example.com",
		"http://shop.example.com?x",
		"HTTPS://Shop.Example.COM:8443/A%20b?q=1&q=2&empty=&=&a=b=c",
		"https://shop.example.com/a+b?c=d+e",
		"https://shop.example.com/%zz%",
		"https://shop.example.com/购物?商品=一",
		"https://商店.example/",
		"https://shop.example.com/@user/?mail=a@b.example",
		"https://shop.example.com/?u=https://other.example/?x=1&y=2",
		"https://[2001:db8::1]:8443/",
		"https://shop.example.com/<script>?\"'&amp;",
		longURL(8 << 10),
	} {
		t.Run(address[:min(len(address), 60)], func(t *testing.T) {
			w := oneShop(t)
			for way, r := range ways("/getApi", pairs{"url", address}) {
				a := w.ask(r)
				w.accept(a)
				if a.text("url") != address {
					t.Errorf("%s: signed %q", way, a.text("url"))
				}
			}
		})
	}
}

func TestUnescapedURLThatIsWhole(t *testing.T) {
	tests := []struct{ name, query, signed string }{
		{"alone", "url=https://shop.example.com/b?x=1", "https://shop.example.com/b?x=1"},
		{"before one of ours", "url=https://shop.example.com/b&noncestr=abc", "https://shop.example.com/b"},
		{"after a cache buster", "_=17&url=https://shop.example.com/b", "https://shop.example.com/b"},
		{"escaped, before a cache buster", "url=https%3A%2F%2Fshop.example.com%2Fb&_=17&", "https://shop.example.com/b"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := oneShop(t)
			a := w.ask(apitest.Get("/getApi", test.query))
			w.accept(a)
			if a.text("url") != test.signed {
				t.Errorf("signed %q", a.text("url"))
			}
		})
	}
}

func TestNonceAndTimestampOfTheCaller(t *testing.T) {
	const bounds = "abcXYZ_-0123456789012345678901234567890123456789012345678901234" // 63
	tests := []struct {
		name, contentType, body string
		nonce                   string
		timestamp               float64
	}{
		{"form", apitest.FormType, pairs{"url", page, "noncestr", "a", "timestamp", "1414587457"}.form(), "a", 1414587457},
		{"JSON, timestamp as a string", apitest.JSONType, pairs{"url", page, "noncestr", "b", "timestamp", "1414587457"}.json(), "b", 1414587457},
		{"JSON, timestamp as a number", apitest.JSONType, fmt.Sprintf(`{"url":%q,"noncestr":"c","timestamp":1414587457}`, page), "c", 1414587457},
		{"the longest of both", apitest.JSONType, fmt.Sprintf(`{"url":%q,"noncestr":"%s1","timestamp":999999999999999}`, page, bounds), bounds + "1", 999999999999999},
		{"zero is a timestamp", apitest.FormType, pairs{"url", page, "noncestr", "d", "timestamp", "0"}.form(), "d", 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := oneShop(t)
			for _, path := range signs {
				a := w.ask(apitest.Post(path, test.contentType, test.body))
				w.acceptAs(a, shop, test.nonce, page)
				if a.body["timestamp"] != test.timestamp {
					t.Errorf("%s: timestamp %v", path, a.body["timestamp"])
				}
			}
		})
	}
}

// One of the two may be given alone; the other is fresh.
func TestOnlyNonceOrOnlyTimestamp(t *testing.T) {
	w := oneShop(t)
	a := w.ask(apitest.Get("/all", pairs{"url", page, "noncestr", "abc"}.form()))
	w.acceptAs(a, shop, "abc", page)
	if a.body["timestamp"].(float64) < float64(time.Now().Add(-time.Minute).Unix()) {
		t.Errorf("timestamp %v", a.body["timestamp"])
	}
	a = w.ask(apitest.Get("/all", pairs{"url", page, "timestamp", "17"}.form()))
	w.accept(a)
	if a.body["timestamp"] != 17.0 || len(a.text("nonceStr")) < 16 {
		t.Errorf("answered %s", a.raw)
	}
}

func TestNoncesAreFresh(t *testing.T) {
	w := oneShop(t)
	form := regexp.MustCompile(`^[A-Za-z0-9_-]{16,64}$`)
	seen := make(map[string]bool)
	for range 100 {
		nonce := w.ask(apitest.Get("/nonce", "")).text("nonce_str")
		if seen[nonce] || !form.MatchString(nonce) {
			t.Fatalf("nonce %q", nonce)
		}
		seen[nonce] = true
		nonce = w.ask(apitest.Get("/all", pairs{"url", page}.form())).text("nonceStr")
		if seen[nonce] || !form.MatchString(nonce) {
			t.Fatalf("nonce %q", nonce)
		}
		seen[nonce] = true
	}
}

func TestRefererInPlaceOfURL(t *testing.T) {
	tests := []struct {
		name, site, referer, query string
		signed                     string // "" for a refusal that says
		says                       string
	}{
		{"same origin", "same-origin", page, "", page, ""},
		{"url wins", "same-origin", page, "url=https%3A%2F%2Fother.example%2F", "https://other.example/", ""},
		{"url of another site", "cross-site", page, "url=https%3A%2F%2Fother.example%2F", "https://other.example/", ""},
		{"empty url is no absent one", "same-origin", page, "url=", "", "url is missing"},
		{"another site", "cross-site", page, "", "", "url is missing"},
		{"another origin of the site", "same-site", page, "", "", "url is missing"},
		{"typed by a person", "none", page, "", "", "url is missing"},
		{"not a browser", "", page, "", "", "url is missing"},
		{"same origin without a Referer", "same-origin", "", "", "", "Referer"},
		{"Referer that is no page", "same-origin", "about:blank", "", "", "absolute"},
		{"Referer with user information", "same-origin", "https://a@b.example/", "", "", "user information"},
	}
	for _, test := range tests {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			t.Run(test.name+" "+method, func(t *testing.T) {
				w := oneShop(t)
				r := apitest.Get("/getApi", test.query)
				r.Method = method
				for name, value := range map[string]string{"Sec-Fetch-Site": test.site, "Referer": test.referer} {
					if value != "" {
						r.Header.Set(name, value)
					}
				}
				a := w.ask(r)
				if test.signed == "" {
					refused(t, a, http.StatusBadRequest, test.says)
					return
				}
				w.accept(a)
				if a.text("url") != test.signed {
					t.Errorf("signed %q", a.text("url"))
				}
			})
		}
	}
}
