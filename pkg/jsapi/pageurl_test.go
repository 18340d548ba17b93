package jsapi_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/wxbroker/wxbroker/pkg/jsapi"
)

func TestParseURL(t *testing.T) {
	for _, tt := range []struct {
		name, raw           string
		wantURL, host, port string
		wantErr             string
	}{
		{name: "plain", raw: "https://shop.example.com/", wantURL: "https://shop.example.com/", host: "shop.example.com"},
		{name: "no path", raw: "http://mp.weixin.qq.com?params=value", wantURL: "http://mp.weixin.qq.com?params=value", host: "mp.weixin.qq.com"},
		{name: "fragment", raw: "https://a.example/b#c#d", wantURL: "https://a.example/b", host: "a.example"},
		{name: "fragment after host", raw: "https://a.example#c", wantURL: "https://a.example", host: "a.example"},
		{name: "port", raw: "https://a.example:8443/b", wantURL: "https://a.example:8443/b", host: "a.example", port: "8443"},
		{name: "upper case", raw: "HTTPS://A.Example/B", wantURL: "HTTPS://A.Example/B", host: "A.Example"},
		{name: "ipv6", raw: "http://[::1]:80/b", wantURL: "http://[::1]:80/b", host: "[::1]", port: "80"},
		{name: "escapes stay", raw: "https://a.example/%E4%BD%A0?x=%26#y", wantURL: "https://a.example/%E4%BD%A0?x=%26", host: "a.example"},
		{name: "at sign in query", raw: "https://a.example/?mail=a@b.example", wantURL: "https://a.example/?mail=a@b.example", host: "a.example"},
		{name: "longest", raw: "https://a.example/" + strings.Repeat("x", jsapi.MaxURLLen-18), wantURL: "https://a.example/" + strings.Repeat("x", jsapi.MaxURLLen-18), host: "a.example"},

		{name: "empty", raw: "", wantErr: "missing"},
		{name: "too long", raw: "https://a.example/" + strings.Repeat("x", jsapi.MaxURLLen-17), wantErr: "at most"},
		{name: "relative", raw: "/a", wantErr: "absolute"},
		{name: "scheme-relative", raw: "//a.example/", wantErr: "absolute"},
		{name: "no slashes", raw: "https:a.example", wantErr: "absolute"},
		{name: "other scheme", raw: "ftp://a.example/", wantErr: "http"},
		{name: "javascript", raw: "javascript:alert(1)//https://a.example/", wantErr: "http"},
		{name: "leading space", raw: " https://a.example/", wantErr: "space"},
		{name: "a decoded plus", raw: "https://a.example/?q=a b", wantErr: "encodeURIComponent"},
		{name: "no host", raw: "https:///a.example/", wantErr: "no host"},
		{name: "only a port", raw: "https://:80/", wantErr: "no host"},
		{name: "user", raw: "https://u@a.example/", wantErr: "user information"},
		{name: "user and password", raw: "https://u:p@a.example/", wantErr: "user information"},
		{name: "backslash", raw: `https://a.example\@b.example/`, wantErr: "backslash"},
		{name: "newline", raw: "https://a.example/\n", wantErr: "control"},
		{name: "tab in host", raw: "https://a.ex\tample/", wantErr: "control"},
		{name: "nul", raw: "https://a.example/\x00", wantErr: "control"},
		{name: "delete", raw: "https://a.example/\x7f", wantErr: "control"},
		{name: "c1 control", raw: "https://a.example/\u0085", wantErr: "control"},
		{name: "broken utf-8", raw: "https://a.example/\xff", wantErr: "UTF-8"},
		{name: "escape in host", raw: "https://a.example%2fb.example/", wantErr: "character"},
		{name: "space in host", raw: "https://a example/", wantErr: "space"},
		{name: "port is a word", raw: "https://a.example:http/", wantErr: "port"},
		{name: "port too large", raw: "https://a.example:65536/", wantErr: "port"},
		{name: "signed port", raw: "https://a.example:+80/", wantErr: "port"},
		{name: "open bracket", raw: "https://[::1/", wantErr: "bracket"},
		{name: "empty brackets", raw: "https://[]/", wantErr: "IPv6"},
		{name: "no address in brackets", raw: "https://[:::::]/", wantErr: "IPv6"},
		{name: "ipv4 in brackets", raw: "https://[127.0.0.1]/", wantErr: "IPv6"},
		{name: "a zone", raw: "https://[fe80::1%25eth0]/", wantErr: "IPv6"},
		{name: "text after bracket", raw: "https://[::1]x/", wantErr: "IPv6"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := jsapi.ParseURL(tt.raw)
			if tt.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
					t.Fatalf("error %v, want one with %q", err, tt.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.String() != tt.wantURL || got.Host() != tt.host || got.Port() != tt.port {
				t.Errorf("got %q, host %q, port %q", got, got.Host(), got.Port())
			}
		})
	}
}

func TestEffectivePort(t *testing.T) {
	for raw, want := range map[string]string{
		"https://a.example/": "443", "HTTPS://a.example": "443", "http://a.example": "80",
		"http://a.example:8080/": "8080", "https://[::1]:444/": "444", "http://s": "80",
	} {
		page, err := jsapi.ParseURL(raw)
		if err != nil || page.EffectivePort() != want {
			t.Errorf("%s: port %s, %v, want %s", raw, page.EffectivePort(), err, want)
		}
	}
}

// FuzzParseURL: an accepted URL is the input up to its fragment. The standard library,
// which parses less strictly, sees the same host in it.
func FuzzParseURL(f *testing.F) {
	for _, seed := range []string{
		"https://shop.example.com/a?b=1#c", "http://[::1]:80/", "https://u@h/", `https://a\b/`, "https:///x", "//x", "https://h:0/",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		page, err := jsapi.ParseURL(raw)
		if err != nil {
			return
		}
		signed := page.String()
		if strings.Contains(signed, "#") || !strings.HasPrefix(raw, signed) {
			t.Fatalf("%q was turned into %q", raw, signed)
		}
		std, err := url.Parse(signed)
		if err != nil {
			return // it is stricter on escapes in the path; this test is about the host
		}
		if std.User != nil || (std.Scheme != "http" && std.Scheme != "https") {
			t.Fatalf("%q was accepted", raw)
		}
		host := page.Host()
		if page.Port() != "" {
			host += ":" + page.Port()
		}
		if std.Host != host {
			t.Fatalf("%q: host %q here, %q in net/url", raw, host, std.Host)
		}
	})
}
