package wechatsim_test

import (
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

func TestRefusals(t *testing.T) {
	const (
		classic = wechatsim.PathToken
		stable  = wechatsim.PathStableToken
		ticket  = wechatsim.PathTicket
		quota   = wechatsim.PathQuota
		clears  = wechatsim.PathClearQuota
		grant   = "?grant_type=client_credential"
	)
	unknown := "?access_token=80_" + strings.Repeat("A", 147)
	tests := []struct {
		name               string
		method, path, body string
		code               int
		message            string
	}{
		{"classic by POST", "POST", classic + grant, "", 43001, "require GET method"},
		{"classic without grant_type", "GET", classic, "", 40002, "invalid grant_type"},
		{"classic with another grant_type", "GET", classic + "?grant_type=password", "", 40002, "invalid grant_type"},
		{"classic without appid", "GET", classic + grant, "", 41002, "appid missing"},
		{"classic without secret", "GET", classic + grant + "&appid=" + appid, "", 41004, "appsecret missing"},
		{"classic with an unknown appid", "GET", classicPath("wxffff", secret), "", 40013, "invalid appid"},
		{"classic with a wrong secret", "GET", classicPath(appid, "x"), "", 40125, "invalid appsecret"},
		{"stable by GET", "GET", stable, "", 43002, "require POST method"},
		{"stable without body", "POST", stable, "", 47001, "data format error"},
		{"stable with a form", "POST", stable, "appid=x", 47001, "data format error"},
		{"stable with a wrong type", "POST", stable, `{"force_refresh":"yes"}`, 47001, "data format error"},
		{"stable without grant_type", "POST", stable, `{}`, 40002, "invalid grant_type"},
		{"stable without appid", "POST", stable, `{"grant_type":"client_credential"}`, 41002, "appid missing"},
		{"stable without secret", "POST", stable, `{"grant_type":"client_credential","appid":"wx1"}`, 41004, "appsecret missing"},
		{"stable with an unknown appid", "POST", stable, `{"grant_type":"client_credential","appid":"wx1","secret":"x"}`, 40013, "invalid appid"},
		{"stable with a wrong secret", "POST", stable, strings.Replace(stableBody(true), secret, "x", 1), 40125, "invalid appsecret"},
		{"ticket by POST", "POST", ticket, "", 43001, "require GET method"},
		{"ticket without token", "GET", ticket + "?type=jsapi", "", 41001, "access_token missing"},
		{"ticket with a malformed token", "GET", ticket + "?type=jsapi&access_token=abc", "", 40014, "invalid access_token"},
		{"ticket with an unknown token", "GET", ticket + unknown + "&type=jsapi", "", 40001, "invalid credential, access_token is invalid or not latest"},
		{"addresses without token", "GET", wechatsim.PathDomainIP, "", 41001, "access_token missing"},
		{"addresses with an unknown token", "GET", wechatsim.PathCallbackIP + unknown, "", 40001, "invalid credential, access_token is invalid or not latest"},
		{"quota by GET", "GET", quota + unknown, "", 43002, "require POST method"},
		{"quota without token", "POST", quota, `{"cgi_path":"/cgi-bin/token"}`, 41001, "access_token missing"},
		{"quota with a malformed token", "POST", quota + "?access_token=abc", `{"cgi_path":"/cgi-bin/token"}`, 40014, "invalid access_token"},
		{"quota with an unknown token", "POST", quota + unknown, `{"cgi_path":"/cgi-bin/token"}`, 40001, "invalid credential, access_token is invalid or not latest"},
		{"clear by GET", "GET", clears + "?appid=" + appid + "&appsecret=" + secret, "", 43002, "require POST method"},
		{"clear with nothing", "POST", clears, "", 41002, "appid missing"},
		{"clear without appid", "POST", clears, `{"appsecret":"x"}`, 41002, "appid missing"},
		{"clear without secret", "POST", clears, `{"appid":"` + appid + `"}`, 41004, "appsecret missing"},
		{"clear by query without secret", "POST", clears + "?appid=" + appid + "&secret=" + secret, "", 41004, "appsecret missing"},
		{"clear with an unknown appid", "POST", clears, clearBody("wx1", secret), 40013, "invalid appid"},
		{"clear with a wrong secret", "POST", clears, clearBody(appid, "x"), 40125, "invalid appsecret"},
		{"clear with a form", "POST", clears + "?appid=" + appid + "&appsecret=" + secret, "appid=x", 47001, "data format error"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := inMemory(t, wechatsim.Settings{})
				r := w.do(tt.method, tt.path, tt.body)
				message, rid, _ := strings.Cut(r.Message, " rid: ")
				if r.Code != tt.code || message != tt.message {
					t.Errorf("got %d %q, want %d %q", r.Code, message, tt.code, tt.message)
				}
				if !regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{8}){2}$`).MatchString(rid) {
					t.Errorf("rid %q", rid)
				}
				if values := w.Issued(appid); len(values) != 0 {
					t.Errorf("a refused call minted %d values", len(values))
				}
			})
		})
	}
}

func TestTicketOfAnUnknownType(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{})
		token := w.granted(w.classic())
		for _, kind := range []string{"", "agent_config"} {
			if r := w.ticket(token, kind); r.Code != 40097 {
				t.Errorf("type %q: %d, want 40097", kind, r.Code)
			}
		}
	})
}

func TestExpiredToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{TokenLifetime: time.Minute})
		token := w.granted(w.classic())
		time.Sleep(time.Minute)
		if r := w.ticket(token, "jsapi"); r.Code != 42001 || !strings.HasPrefix(r.Message, "access_token expired rid: ") {
			t.Errorf("%d %q, want 42001", r.Code, r.Message)
		}
	})
}

func TestWrongSecretCode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{WrongSecretCode: 40001})
		if r := w.do("GET", classicPath(appid, "x"), ""); r.Code != 40001 {
			t.Errorf("%d, want 40001", r.Code)
		}
		if r := w.do("POST", wechatsim.PathClearQuota, clearBody(appid, "x")); r.Code != 40001 {
			t.Errorf("clearing the quotas: %d, want 40001", r.Code)
		}
	})
}

func TestAllowList(t *testing.T) {
	tests := []struct {
		name    string
		allow   string
		seen    string
		message string // of the refusal; empty if there is none
	}{
		{"another address", "203.0.113.8", "203.0.113.7", "invalid ip 203.0.113.7 ipv6 ::ffff:203.0.113.7, not in whitelist"},
		{"the same address", "203.0.113.7", "203.0.113.7", ""},
		{"within a prefix", "203.0.113.0/24", "203.0.113.7", ""},
		{"mapped into IPv6", "203.0.113.7", "::ffff:203.0.113.7", ""},
		{"another IPv6 address", "203.0.113.7", "2001:db8::1", "invalid ip 2001:db8::1, not in whitelist"},
		{"a connection without an address", "203.0.113.7", "", "invalid ip 127.0.0.1 ipv6 ::ffff:127.0.0.1, not in whitelist"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := inMemory(t, wechatsim.Settings{})
				token := w.granted(w.classic())
				w.Change(func(s *wechatsim.Settings) {
					if tt.seen != "" {
						s.SeenAddress = netip.MustParseAddr(tt.seen)
					}
				})
				allow, err := wechatsim.ParseAllow(tt.allow)
				if err != nil {
					t.Fatal(err)
				}
				if err := w.SetAllowList(appid, allow); err != nil {
					t.Fatal(err)
				}
				for api, r := range map[string]reply{"classic": w.classic(), "stable": w.stable(false)} {
					message, _, _ := strings.Cut(r.Message, " rid: ")
					if message != tt.message || (tt.message != "") != (r.Code == 40164) {
						t.Errorf("%s: %d %q, want %q", api, r.Code, message, tt.message)
					}
				}
				if r := w.clear(); (tt.message != "") != (r.Code == 40164) || r.Code != 0 && !withRID(r.Message, tt.message) {
					t.Errorf("clear: %d %q, want %q", r.Code, r.Message, tt.message)
				}
				if r := w.ticket(token, "jsapi"); r.Code != 0 {
					t.Errorf("a ticket call met the allow-list: %d", r.Code)
				}
				if r := w.quota(token, wechatsim.PathToken); r.Code != 0 {
					t.Errorf("a quota call met the allow-list: %d", r.Code)
				}
			})
		})
	}
}

func TestUnknownPathsAreNotFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{})
		for _, path := range []string{"/cgi-bin/nothing", "/cgi-bin//token", "/cgi-bin/token/", "/favicon.ico"} {
			status, _, body, err := w.exchange("GET", path, "")
			if err != nil || status != http.StatusNotFound || body != "" {
				t.Errorf("%s: status %d, body %q, error %v", path, status, body, err)
			}
		}
	})
}
