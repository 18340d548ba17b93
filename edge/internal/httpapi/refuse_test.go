package httpapi_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/wxbroker/wxbroker/edge/internal/apitest"
)

// longURL is a page's address of n bytes.
func longURL(n int) string {
	const start = "https://shop.example.com/"
	return start + strings.Repeat("a", n-len(start))
}

// What is wrong with a parameter is wrong on every path that signs, however it
// is sent.
func TestParametersThatAreRefused(t *testing.T) {
	tests := []struct {
		name  string
		given pairs
		says  string
	}{
		{"no url", pairs{"debug", "true"}, "url=encodeURIComponent(location.href"},
		{"empty url", pairs{"url", ""}, "url is missing"},
		{"relative url", pairs{"url", "/cart"}, "absolute"},
		{"url without a scheme", pairs{"url", "shop.example.com/cart"}, "absolute"},
		{"url of the page's own scheme", pairs{"url", "//shop.example.com/"}, "absolute"},
		{"ftp", pairs{"url", "ftp://shop.example.com/"}, "http:// or https://"},
		{"javascript", pairs{"url", "javascript:alert(1)"}, "http:// or https://"},
		{"file", pairs{"url", "file:///etc/passwd"}, "http:// or https://"},
		{"no host", pairs{"url", "https:///cart"}, "no host"},
		{"nothing but a fragment", pairs{"url", "https://#shop.example.com/"}, "no host"},
		{"port of letters", pairs{"url", "https://shop.example.com:http/"}, "port"},
		{"one byte too long", pairs{"url", longURL(8<<10 + 1)}, "8193 bytes"},
		{"too long by its fragment", pairs{"url", longURL(8<<10) + "#"}, "8193 bytes"},
		{"line feed", pairs{"url", "https://shop.example.com/\nx"}, "control character"},
		{"NUL", pairs{"url", "https://shop.example.com/\x00"}, "control character"},
		{"tab", pairs{"url", "https://shop.exa\tmple.com/"}, "control character"},
		{"delete", pairs{"url", "https://shop.example.com/\x7f"}, "control character"},
		{"control character beyond ASCII", pairs{"url", "https://shop.example.com/\u0085"}, "control character"},
		{"control character in the fragment", pairs{"url", "https://shop.example.com/#\r"}, "control character"},
		{"space", pairs{"url", "https://shop.example.com/a b"}, "space"},
		{"backslash before the host", pairs{"url", `https:\\shop.example.com/`}, "backslash"},
		{"backslash that ends the host for a browser", pairs{"url", `https://evil.example\.shop.example.com/`}, "backslash"},
		{"user information", pairs{"url", "https://shop.example.com@evil.example/"}, "user information"},
		{"user and password", pairs{"url", "https://user:word@shop.example.com/"}, "user information"},
		{"escape in the host", pairs{"url", "https://shop%2eexample.com/"}, "no host can have"},

		{"noncestr that smuggles a url", pairs{"url", page, "noncestr", "x&timestamp=1&url=https://evil.example/?"}, "noncestr"},
		{"noncestr that smuggles an escaped url", pairs{"url", page, "noncestr", "x%26url%3Dhttps"}, "noncestr"},
		{"noncestr with a line feed at its end", pairs{"url", page, "noncestr", "abc\n"}, "noncestr"},
		{"noncestr beyond ASCII", pairs{"url", page, "noncestr", "ａbc"}, "noncestr"},
		{"empty noncestr", pairs{"url", page, "noncestr", ""}, "noncestr"},
		{"noncestr of 65", pairs{"url", page, "noncestr", strings.Repeat("a", 65)}, "noncestr"},

		{"timestamp that smuggles a url", pairs{"url", page, "timestamp", "1&url=https://evil.example/?"}, "timestamp"},
		{"empty timestamp", pairs{"url", page, "timestamp", ""}, "timestamp"},
		{"negative timestamp", pairs{"url", page, "timestamp", "-1"}, "timestamp"},
		{"timestamp with a sign", pairs{"url", page, "timestamp", "+1"}, "timestamp"},
		{"timestamp with a leading zero", pairs{"url", page, "timestamp", "01"}, "timestamp"},
		{"timestamp with a fraction", pairs{"url", page, "timestamp", "1.5"}, "timestamp"},
		{"timestamp with an exponent", pairs{"url", page, "timestamp", "1e9"}, "timestamp"},
		{"timestamp in hex", pairs{"url", page, "timestamp", "0x10"}, "timestamp"},
		{"timestamp of foreign digits", pairs{"url", page, "timestamp", "１２３"}, "timestamp"},
		{"timestamp that JavaScript would round", pairs{"url", page, "timestamp", "9007199254740993"}, "timestamp"},

		{"unknown appid", pairs{"url", page, "appid", "wxffffffffffffffff"}, "wxffffffffffffffff"},
		{"appid of another form", pairs{"url", page, "appid", "wx&url=https://evil.example/"}, "appid"},
		{"appid without end", pairs{"url", page, "appid", strings.Repeat("w", 60<<10)}, "appid is not one"},
		{"debug that is neither", pairs{"url", page, "debug", "yes"}, "debug"},
		{"jsApiList with markup", pairs{"url", page, "jsApiList", "chooseImage,<script>"}, "jsApiList"},
		{"openTagList with a space inside", pairs{"url", page, "openTagList", "wx-open launch"}, "openTagList"},
		{"jsApiList of 201", pairs{"url", page, "jsApiList", strings.Repeat("a,", 201)}, "more than 200"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := oneShop(t)
			for _, path := range signs {
				for way, r := range ways(path, test.given) {
					a := w.ask(r)
					if a.status != http.StatusBadRequest || !strings.Contains(a.text("errmsg"), test.says) {
						t.Errorf("%s %s: %s, want one that says %q", path, way, a.raw, test.says)
					}
					if len(a.raw) > 512 {
						t.Errorf("%s %s: the error repeats %d bytes", path, way, len(a.raw))
					}
				}
			}
			// And nothing has changed by it.
			w.accept(w.ask(apitest.Get("/all", pairs{"url", page}.form())))
		})
	}
}

// A query and a form are read alike, byte for byte as they are sent.
func TestFormsThatAreRefused(t *testing.T) {
	const tail = "encodeURIComponent"
	tests := []struct{ name, form, says string }{
		{"unescaped url, then what may be its own", "url=https://shop.example.com/b?x=1&y=2", tail},
		{"the same, half escaped", "url=https%3A//shop.example.com/b%3Fx=1&y=2", tail},
		{"the same, escaped but for its ?", "url=https%3A%2F%2Fshop.example.com%2Fb?x=1&y=2", tail},
		{"the same without a value", "url=https://shop.example.com/b?x=1&y", tail},
		{"the same with a name that is empty", "url=https://shop.example.com/b?x=1&=2", tail},
		{"the same after one of ours", "url=https://shop.example.com/b?x=1&noncestr=abc&y=2", tail},
		{"the same under an escaped name", "%75rl=https://shop.example.com/b?x=1&y=2", tail},
		{"the same with another url after it", "url=https://shop.example.com/b?x=1&y=2&url=https%3A%2F%2Fa%2F", tail},
		{"unescaped url that ends with &", "url=https://shop.example.com/b?x=1&", tail},
		{"unescaped url with an empty parameter", "url=https://shop.example.com/b?x=1&&noncestr=abc", tail},
		{"unescaped url with a +", "url=https://shop.example.com/b?x=1+1", "space"},
		{"long name after an unescaped url", "url=https://shop.example.com/b?x=1&" + strings.Repeat("y", 9000), tail},
		{"url twice", "url=https%3A%2F%2Fa%2F&url=https%3A%2F%2Fb%2F", "url is given 2 times"},
		{"noncestr twice", "url=https%3A%2F%2Fa%2F&noncestr=a&noncestr=b", "noncestr is given 2 times"},
		{"broken escape in a value", "url=https%3A%2F%2Fa%2F%zz", "escape"},
		{"broken escape in a name", "%u=1&url=https%3A%2F%2Fa%2F", "escape"},
		{"escape cut off", "url=https%3A%2F%2Fa%2", "escape"},
		{"bytes that are not UTF-8", "url=https%3A%2F%2Fa%2F%ff", "UTF-8"},
		{"raw bytes that are not UTF-8", "url=https%3A%2F%2Fa%2F\xff", "UTF-8"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := oneShop(t)
			for _, path := range signs {
				asked := []*http.Request{apitest.Post(path, apitest.FormType, test.form)}
				if path != "/v1/jsapi/signature" {
					asked = append(asked, apitest.Get(path, test.form))
				}
				for _, r := range asked {
					a := w.ask(r)
					refused(t, a, http.StatusBadRequest, test.says)
					if len(a.raw) > 512 {
						t.Errorf("%s: the error repeats %d bytes", path, len(a.raw))
					}
				}
			}
		})
	}
}
