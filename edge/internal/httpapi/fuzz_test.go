package httpapi_test

import (
	"net/http"
	"net/url"
	"regexp"
	"testing"
	"unicode/utf8"

	"github.com/wxbroker/wxbroker/edge/internal/apitest"
)

var (
	// pageForm is what a signed address may look like, told without the code
	// that checked it: a scheme, a host without user information, and from the
	// first / or ? on anything but a fragment.
	pageForm  = regexp.MustCompile(`^(?i:https?)://[^/?#@\\\s%<>^|]+([/?][^#\\\s]*)?$`)
	nonceForm = regexp.MustCompile(`\A[A-Za-z0-9_-]{1,64}\z`)
)

// FuzzRequest: whatever is sent, the answer is an error or a signature that
// WeChat accepts for exactly the page that the answer names.
func FuzzRequest(f *testing.F) {
	for _, query := range []string{
		"", "url=", "url=" + url.QueryEscape(page), "url=https://a.example/b?x=1", "url=https://a.example/b?x=1&y=2",
		"url=https%3A%2F%2Fa.example%2F%23top", "%75rl=https://a.example/", "url=%zz", "url=https://u:p@a.example/",
		"url=https://a.example%5C@b.example/", "url=https://[::1]:80/", "url=https://a.example/%ff", "url=//a.example",
		"url=https://a.example/&noncestr=abc&timestamp=1414587457&debug=1&jsApiList=a,b&jsApiList=c&openTagList=",
		"url=https://a.example/&noncestr=x%26timestamp%3D1%26url%3Dhttps%3A%2F%2Fevil.example%2F%3F",
		"url=https://a.example/&timestamp=01", "url=https://a.example/&appid=" + shop, "url=https://a.example/&appid=wx",
		"_=1&url=https://a.example/&", "url=https%3A%2F%2Fa.example%2F&_=1", "url=%01", "url=https://a.example/%C2%85",
	} {
		f.Add(query, "", []byte(nil))
		f.Add("", apitest.FormType, []byte(query))
		f.Add("noncestr=abc", apitest.FormType+"; charset=utf-8", []byte(query))
	}
	for _, body := range []string{
		`{"url":"https://a.example/"}`, `{"url":"https:\u002f\u002fa.example\u002f?\ud83d\ude00"}`, `{"url":"https://a.example/\ud800"}`,
		`{"url":"https://a.example/","timestamp":1414587457,"noncestr":"abc","debug":true,"jsApiList":["a"],"openTagList":[]}`,
		`{"url":"https://a.example/","timestamp":"17"}`, `{"url":"https://a.example/","timestamp":1e9}`, `{"url":null}`, `null`, `[]`, `{`,
		`{"url":"https://a.example/","url":"https://b.example/"}`, ` { "url" : "https://a.example/" , "appid" : null } `,
		`{"url":"https://a.example/","jsApiList":[null,"a,b",[]]}`, "{\"url\":\"https://a.example/\xff\"}",
	} {
		f.Add("", apitest.JSONType, []byte(body))
		f.Add("url=https://a.example/", apitest.JSONType, []byte(body))
	}
	f.Add("", "multipart/form-data; boundary=x", []byte("--x--"))
	f.Add("", apitest.JSONType+"; charset", []byte("{}"))

	w := oneShop(f)
	f.Fuzz(func(t *testing.T, query, contentType string, body []byte) {
		w.t = t
		asked := []*http.Request{apitest.Get("/getApi", query), apitest.Post("/getApi", contentType, string(body))}
		asked[1].URL.RawQuery = query
		for _, r := range asked {
			a := w.ask(r)
			if a.status != http.StatusOK {
				if len(a.raw) > 16<<10 {
					t.Errorf("an error of %d bytes", len(a.raw))
				}
				continue
			}
			w.accept(a)
			signed := a.text("url")
			if !pageForm.MatchString(signed) || !utf8.ValidString(signed) || len(signed) > 8<<10 {
				t.Errorf("signed %q", signed)
			}
			// What net/url cannot read at all a browser may: a % in a path,
			// a { in a host.
			if u, err := url.Parse(signed); err == nil && (u.User != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
				t.Errorf("signed %q, which is of %q", signed, u)
			}
			if !nonceForm.MatchString(a.text("nonceStr")) {
				t.Errorf("nonce %q", a.text("nonceStr"))
			}
			if a.text("appId") != shop {
				t.Errorf("appId %q", a.text("appId"))
			}
		}
	})
}

// FuzzReport: whatever is sent, the answer is an error of a few words, or
// exactly one report of a kind that there is.
func FuzzReport(f *testing.F) {
	for _, form := range []string{
		"", "kind=access_token", "kind=access_token&value=abc", "kind=jsapi_ticket&sha256=" + refusedHash, "kind=wx_card_ticket&appid=" + shop,
		"value=abc", "%76alue=abc", "kind=access_token&value=abc&value=abc", "kind=access_token&value=%0a", "kind=access_token&sha256=zz", "url=https://a/?b&kind",
	} {
		f.Add(form, "", []byte(nil))
		f.Add("", apitest.FormType, []byte(form))
	}
	for _, body := range []string{
		`{"kind":"access_token","value":"abc"}`, `{"kind":"access_token","value":"\ud800"}`, `{"kind":"access_token","value":null,"sha256":"00"}`,
		`{"kind":["access_token"]}`, `{"kind":"access_token","value":57}`, `{"value":"a","value":"b"}`, `{"\u0076alue":"a"}`, `[]`, `{`,
	} {
		f.Add("", apitest.JSONType, []byte(body))
		f.Add("kind=access_token", apitest.JSONType, []byte(body))
	}
	w := oneShop(f)
	b := new(reported)
	w.setBroker(b)
	f.Fuzz(func(t *testing.T, query, contentType string, body []byte) {
		w.t = t
		b.reports = nil
		r := apitest.Post("/v1/report", contentType, string(body))
		r.URL.RawQuery = query
		r.Header.Set("Authorization", "Bearer k")
		a := w.ask(r)
		if (a.status == http.StatusOK) != (len(b.reports) == 1) || len(b.reports) > 1 || len(a.raw) > 512 {
			t.Fatalf("HTTP %d after %d reports: %s", a.status, len(b.reports), a.raw)
		}
		for _, refused := range b.reports {
			if refused.Kind.Wire() == 0 || refused.AppID == "" || refused.Hash == [32]byte{} {
				t.Errorf("reported %v", refused)
			}
		}
	})
}
