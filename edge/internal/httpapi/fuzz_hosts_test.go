package httpapi_test

import (
	"crypto/sha1" //nolint:gosec // what WeChat signs with
	"encoding/hex"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/wxbroker/wxbroker/edge/internal/apitest"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

// fuzzedHosts are the rules of the fuzzed account, and named says, without the
// code that applies them, what they name.
var fuzzedHosts = []string{"shop.example.com", "*.example.org:8443", "例子.example", "192.0.2.1", "[2001:db8::1]:443"}

func named(host, port string) bool {
	below, isBelow := strings.CutSuffix(host, ".example.org")
	return slices.Contains([]string{"shop.example.com", "xn--fsqu00a.example", "192.0.2.1"}, host) ||
		isBelow && below != "" && port == "8443" ||
		host == "[2001:db8::1]" && port == "443"
}

// servedBy returns every address whose page could use a signature of what was
// hashed. WeChat joins the page's own noncestr, timestamp and address with
// nothing escaped, and a page may give wx.config whatever it likes for the
// first two.
func servedBy(t *testing.T, hashed, ticket string) []string {
	t.Helper()
	rest, ok := strings.CutPrefix(hashed, "jsapi_ticket="+ticket+"&noncestr=")
	if !ok {
		t.Fatalf("hashed %q", hashed)
	}
	var addresses []string
	for i := range rest {
		before, isURL := strings.CutSuffix(rest[:i], "&url=")
		if isURL && strings.Contains(before, "&timestamp=") {
			addresses = append(addresses, rest[i:])
		}
	}
	return addresses
}

// FuzzSignHosts: whatever is sent, no signature is of use to a page whose host
// sign_hosts do not name.
func FuzzSignHosts(f *testing.F) {
	for _, address := range []string{
		"https://shop.example.com/", "http://shop.example.com:8080", "https://a.example.org:8443/", "https://例子.example/?店", "https://xn--fsqu00a.example",
		"https://192.0.2.1/", "https://[2001:db8::1]/", "HTTPS://SHOP.EXAMPLE.COM?x#y",
		"https://evil.example/", "https://shop.example.com@evil.example/", "https://shop.example.com:x@evil.example/", "https://evil.example@shop.example.com/",
		`https://evil.example\@shop.example.com/`, `https://evil.example\.shop.example.com/`, `https:\\evil.example/`, "https:evil.example/", "https:/shop.example.com",
		"https:///shop.example.com/", "https://evil.example#@shop.example.com/", "https://evil.example?@shop.example.com", "https://evil.example/.shop.example.com",
		"https://shop.example.com%00.evil.example/", "https://shop.example.com\x00.evil.example/", "https://shop%2eexample.com", "https://evil%2fshop.example.com/",
		"https://shop．example．com/", "https://ｓｈｏｐ.example.com/", "https://shop.example.com。evil.example/", "https://evil.example／.shop.example.com", "https://a／.example.org:8443",
		"https://shop.example.com./", "https://.shop.example.com/", "https://a..example.org:8443/", "https://.example.org:8443", "https://shop.example.com:443:80/", "https://shop.example.com:/",
		"https://a.example.org:08443/", "https://a.example.org:8443@evil.example", "https://a.example.org:443/", "https://badexample.org:8443",
		"https://3221225985/", "https://0xc0.0.2.1/", "https://192.0.513/", "https://192.0.2.1.", "https://192.0.2.1.evil.example/", "https://[::ffff:192.0.2.1]/", "https://[2001:db8::1%25eth0]/", "https://[2001:DB8:0:0::1]:443",
		"https://xn--fsqu00a.example.evil.example/", "https://XN--FSQU00A.example/", "https://例\u00ad子.example/", "https://ſhop.example.com/", "https://shop.example.com\u3002/",
		"\thttps://shop.example.com/", "https://shop.ex\nample.com/", "https://shop.example.com/\u0085", "//shop.example.com/", "javascript:https://shop.example.com/", "https://shop.example.com\xff/",
		"https://shop.example.com/?a=1&url=https://evil.example/", "https://shop.example.com/?a&timestamp=1&url=https://evil.example/x?y", "https://shop.example.com/?&url=HTTPS:evil.example",
		"https://shop.example.com/?&url=https%3A%2F%2Fevil.example%2F", "https://shop.example.com/?&url=https:%2F%2Fevil.example%2F", "https://shop.example.com/?&url=http:%65vil.example", "https://shop.example.com/?&url=https://shop.example.com/b&url=/c", "https://shop.example.com/&url=https://shop.example.com@evil.example/",
		"https://shop.example.com/&noncestr=x&timestamp=1&url=http://a.example.org/", "https://shop.example.com/?&url=https:///evil.example/", "https://evil.example/?&url=https://shop.example.com/",
	} {
		f.Add(address, "abc", "1414587457")
	}
	f.Add("https://shop.example.com/", "x&timestamp=1&url=https://evil.example/?", "1")
	f.Add("https://shop.example.com/", "x", "1&url=https://evil.example/?")
	f.Add("https://shop.example.com/", "x=", "01")
	f.Add("https://shop.example.com/", "", "")

	w := newWorld(f, wechatsim.Settings{})
	account := w.account(shop, fuzzedHosts...)
	w.state.Apply([]credential.Account{account})
	secret, _ := account.Credential(credential.JSAPITicket)
	ticket := secret.Value.Reveal()
	f.Fuzz(func(t *testing.T, address, nonce, timestamp string) {
		w.t = t
		given := pairs{"url", address, "noncestr", nonce, "timestamp", timestamp}
		asked := []*http.Request{
			apitest.Get("/all", given.form()),
			apitest.Post("/all", apitest.JSONType, given.json()),
			apitest.Get("/all", "url="+address+"&noncestr="+nonce+"&timestamp="+timestamp), // nothing is escaped
			apitest.Get("/all", pairs{"url", address}.form()),
		}
		fromReferer := apitest.Get("/all", "")
		fromReferer.Header = http.Header{"Sec-Fetch-Site": {"same-origin"}, "Referer": {address}}
		for _, r := range append(asked, fromReferer) {
			a := w.ask(r)
			if a.status != http.StatusOK {
				continue
			}
			var signed struct {
				NonceStr, Signature, URL string
				Timestamp                json.Number
			}
			if err := json.Unmarshal([]byte(a.raw), &signed); err != nil {
				t.Fatal(err)
			}
			hashed := "jsapi_ticket=" + ticket + "&noncestr=" + signed.NonceStr + "&timestamp=" + signed.Timestamp.String() + "&url=" + signed.URL
			sum := sha1.Sum([]byte(hashed)) //nolint:gosec // what WeChat signs with
			if hex.EncodeToString(sum[:]) != signed.Signature {
				t.Fatalf("%s is not the signature of %q", signed.Signature, hashed)
			}
			if strings.ContainsAny(signed.NonceStr+signed.Timestamp.String(), "&=") {
				t.Errorf("the noncestr %q and the timestamp %s end early", signed.NonceStr, signed.Timestamp)
			}
			served := servedBy(t, hashed, ticket)
			if served[0] != signed.URL {
				t.Errorf("the first reading of %q is %q", hashed, served[0])
			}
			if _, _, ok := browserHost(signed.URL); !ok {
				t.Errorf("signed %q, which no browser opens", signed.URL)
			}
			for _, page := range served {
				if host, port, ok := browserHost(page); ok && !named(host, port) {
					t.Errorf("the signature of %q serves %q, a page of %s:%s", signed.URL, page, host, port)
				}
			}
		}
	})
}
