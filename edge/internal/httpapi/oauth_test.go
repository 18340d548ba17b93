package httpapi_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/wxbroker/wxbroker/edge/internal/apitest"
	"github.com/wxbroker/wxbroker/edge/internal/audit"
	"github.com/wxbroker/wxbroker/edge/internal/brokertest"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

func TestOpenID(t *testing.T) {
	const page = `{"access_token":"wxo_sealed","expires_in":7200,"refresh_token":"wxo_other","openid":"o1",`
	tests := []struct {
		name, query    string
		page, userInfo string // WeChat's answers
		want           string
		lang           string // that is asked for, "" where nothing is asked about the user
	}{
		{
			"base", "code=0a1B-_", page + `"scope":"snsapi_base"}`, "",
			`{"openid":"o1","scope":"snsapi_base","is_snapshotuser":0}`, "",
		},
		{
			"all of it", "code=c&lang=en&appid=" + shop, page + `"scope":"snsapi_base,snsapi_userinfo","is_snapshotuser":1,"unionid":"u1"}`,
			`{"openid":"o1","nickname":"张 <b>","sex":1,"language":"zh_CN","city":"深圳","province":"广东","country":"中国","headimgurl":"https:\/\/a\/?b&c","privilege":["chinaunicom"],"unionid":"u2"}`,
			`{"openid":"o1","unionid":"u1","scope":"snsapi_base,snsapi_userinfo","is_snapshotuser":1,"userinfo":{"nickname":"张 <b>","sex":1,` +
				`"province":"广东","city":"深圳","country":"中国","headimgurl":"https://a/?b&c","privilege":["chinaunicom"]}}`, "en",
		},
		{
			"a unionid that only the second answer has", "code=c", page + `"scope":"snsapi_userinfo"}`, `{"openid":"o1","unionid":"u2"}`,
			`{"openid":"o1","unionid":"u2","scope":"snsapi_userinfo","is_snapshotuser":0,"userinfo":{"nickname":"","sex":0,"province":"","city":"","country":"","headimgurl":"","privilege":[]}}`, "zh_CN",
		},
		{
			"control characters, and a number in a string", "code=c", page + `"scope":"snsapi_userinfo"}`, "{\"nickname\":\"a\x01b\\u0007c\\u0085\",\"sex\":\"1\",\"city\":\"x\ty\"}\n",
			`{"openid":"o1","scope":"snsapi_userinfo","is_snapshotuser":0,"userinfo":{"nickname":"abc","sex":1,"province":"","city":"xy","country":"","headimgurl":"","privilege":[]}}`, "zh_CN",
		},
		{
			"no userinfo though there should be", "code=c", page + `"scope":"snsapi_userinfo"}`, `{"errcode":-1,"errmsg":"system error"}`,
			`{"openid":"o1","scope":"snsapi_userinfo","is_snapshotuser":0,"userinfo_error":{"errcode":-1,"errmsg":"system error"}}`, "zh_CN",
		},
		{
			"userinfo that is none", "code=c", page + `"scope":"snsapi_userinfo"}`, `<html>`,
			`{"openid":"o1","scope":"snsapi_userinfo","is_snapshotuser":0,"userinfo_error":{"errcode":-1,"errmsg":"system error: WeChat's answer is not what it documents"}}`, "zh_CN",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := &brokertest.Broker{Answer: pageAnswer(test.page, test.userInfo)}
			w := callsWorld(t, b)
			rec := w.call(apitest.WithKey(apitest.Get("/v1/oauth/openid", test.query)))
			if rec.Code != http.StatusOK || strings.TrimSpace(rec.Body.String()) != test.want {
				t.Errorf("HTTP %d: %s", rec.Code, rec.Body)
			}
			apitest.Audited(t, w.audited, audit.Entry{LocalKey: "billing", Action: audit.OAuth, AppID: shop, Status: 200})
			given, _ := url.ParseQuery(test.query)
			asked, _ := url.ParseQuery(b.HeadsOf(wxapi.PathCode)[0].GetQuery())
			if got := b.HeadsOf(wxapi.PathCode)[0]; got.GetAppid() != shop || !got.GetProven() || asked.Get("code") != given.Get("code") {
				t.Errorf("asked %v", got)
			}
			if (len(b.HeadsOf(wxapi.PathUserInfo)) == 0) != (test.lang == "") {
				t.Fatalf("the user is asked about %d times", len(b.HeadsOf(wxapi.PathUserInfo)))
			}
			if test.lang != "" && b.HeadsOf(wxapi.PathUserInfo)[0].GetQuery() != "access_token=wxo_sealed&lang="+test.lang+"&openid=o1" {
				t.Errorf("asked about the user: %v", b.HeadsOf(wxapi.PathUserInfo)[0])
			}
		})
	}
}

// A page's answer that says of nobody is none, and how the flag of a made-up user
// is written costs no login.
func TestPagesOfWeChat(t *testing.T) {
	for raw, want := range map[string]int{"1": 1, `"1"`: 1, "true": 1, "0": 0, `""`: 0, "null": 0, "{}": 0} {
		w := callsWorld(t, &brokertest.Broker{Answer: brokertest.JSON(`{"openid":"o","scope":"snsapi_base","is_snapshotuser":` + raw + `}`)})
		if rec := w.call(apitest.WithKey(apitest.Get("/v1/oauth/openid", "code=c"))); rec.Body.String() != fmt.Sprintf(`{"openid":"o","scope":"snsapi_base","is_snapshotuser":%d}`, want) {
			t.Errorf("%s: HTTP %d: %s", raw, rec.Code, rec.Body)
		}
	}
	for _, page := range []string{`{}`, `{"openid":""}`, `[]`, `<html>`, ``, `{"openid":1}`} {
		w := callsWorld(t, &brokertest.Broker{Answer: brokertest.JSON(page)})
		rec := w.call(apitest.WithKey(apitest.Get("/v1/oauth/openid", "code=c")))
		if code, message := apitest.Refusal(t, rec); rec.Code != http.StatusServiceUnavailable || code != -1 || !strings.Contains(message, "not what it documents") || rec.Header().Get("Retry-After") != "" {
			t.Errorf("%s: HTTP %d: %s", page, rec.Code, rec.Body)
		}
	}
}

func TestCodesThatAreRefused(t *testing.T) {
	tests := []struct {
		name, query string
		status      int
		says        string
	}{
		{"none", "", 400, "code is missing"},
		{"empty", "code=", 400, "code is missing"},
		{"twice", "code=a&code=b", 400, "code is given 2 times"},
		{"with a space", "code=secret+code", 400, "code is not one"},
		{"endless", "code=" + strings.Repeat("a", 513), 400, "code is not one"},
		{"of another language", "code=a&lang=de", 400, "lang has to be"},
		{"of an unknown account", "code=a&appid=wxunknown", 400, "wxunknown"},
		{"of an account without the grant", "code=a&appid=" + pay, 403, "oauth calls of " + pay},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := new(brokertest.Broker)
			w := callsWorld(t, b)
			other := apitest.CallsOnly(pay)
			other.Calls = []credential.Grant{credential.Media}
			w.state.Apply([]credential.Account{apitest.CallsOnly(shop), other})
			rec := w.call(apitest.WithKey(apitest.Get("/v1/oauth/openid", test.query)))
			if rec.Code != test.status || !strings.Contains(rec.Body.String(), test.says) || strings.Contains(rec.Body.String(), "secret") || len(b.HeadsOf(wxapi.PathCode)) > 0 {
				t.Errorf("HTTP %d: %s", rec.Code, rec.Body)
			}
		})
	}
}

// A HEAD would use the code up, and nobody would hear whose it was.
func TestHEADUsesNoCode(t *testing.T) {
	b := new(brokertest.Broker)
	w := callsWorld(t, b)
	r := apitest.WithKey(apitest.Get("/v1/oauth/openid", "code=abc"))
	r.Method = http.MethodHead
	if rec := w.call(r); rec.Code != http.StatusMethodNotAllowed || rec.Header().Get("Allow") != "GET" || len(b.HeadsOf(wxapi.PathCode)) > 0 {
		t.Errorf("HTTP %d, %d codes used", rec.Code, len(b.HeadsOf(wxapi.PathCode)))
	}
}

// A code is used once: not even a caller whom the broker does not know any more
// has it sent again by what is in front of the broker.
func TestRefusedCode(t *testing.T) {
	b := &brokertest.Broker{Answer: brokertest.JSON(`{"errcode":40163,"errmsg":"code been used"}`)}
	w := callsWorld(t, b)
	rec := w.call(apitest.WithKey(apitest.Get("/v1/oauth/openid", "code=abc")))
	if code, _ := apitest.Refusal(t, rec); rec.Code != http.StatusBadRequest || code != 40163 || len(b.HeadsOf(wxapi.PathCode)) != 1 {
		t.Errorf("HTTP %d: %s after %d calls", rec.Code, rec.Body, len(b.HeadsOf(wxapi.PathCode)))
	}
}

func TestOAuthURL(t *testing.T) {
	const start = "https://open.weixin.qq.com/connect/oauth2/authorize?appid=" + shop + "&redirect_uri="
	tests := []struct{ name, query, want string }{
		{
			"as WeChat's document has it", "redirect_uri=https%3A%2F%2Fshop.example.com%2Fa%3Fb%3D1%26c%3D2&scope=snsapi_userinfo&state=Abc123",
			start + "https%3A%2F%2Fshop.example.com%2Fa%3Fb%3D1%26c%3D2&response_type=code&scope=snsapi_userinfo&state=Abc123#wechat_redirect",
		},
		{"by default", "redirect_uri=http%3A%2F%2Fshop.example.com%2F", start + "http%3A%2F%2Fshop.example.com%2F&response_type=code&scope=snsapi_base&state=#wechat_redirect"},
		{"the account by name", "appid=" + shop + "&redirect_uri=http%3A%2F%2Fa%2F", start + "http%3A%2F%2Fa%2F&response_type=code&scope=snsapi_base&state=#wechat_redirect"},
		{"Chinese", "redirect_uri=https%3A%2F%2Fa%2F%E5%BA%97", start + "https%3A%2F%2Fa%2F%E5%BA%97&response_type=code&scope=snsapi_base&state=#wechat_redirect"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := callsWorld(t, new(brokertest.Broker))
			rec := w.call(apitest.WithKey(apitest.Get("/v1/oauth/url", test.query)))
			if rec.Code != http.StatusOK || strings.TrimSpace(rec.Body.String()) != `{"url":"`+test.want+`"}` {
				t.Errorf("HTTP %d: %s\nwant %s", rec.Code, rec.Body, test.want)
			}
			apitest.Audited(t, w.audited, audit.Entry{LocalKey: "billing", Action: audit.OAuthURL, AppID: shop, Status: 200})
		})
	}
}

func TestRedirectsThatAreRefused(t *testing.T) {
	const ours = "redirect_uri=https%3A%2F%2Fshop.example.com%2F"
	tests := []struct {
		name, query string
		status      int
		says        string
	}{
		{"none", "", 400, "redirect_uri"},
		{"relative", "redirect_uri=%2Fa", 400, "redirect_uri"},
		{"without a host", "redirect_uri=https%3A%2F%2F%2Fa", 400, "host"},
		{"of another scheme", "redirect_uri=javascript%3Aalert(1)", 400, "http"},
		{"with user information", "redirect_uri=https%3A%2F%2Fa%40b%2F", 400, "user information"},
		{"with a fragment", "redirect_uri=https%3A%2F%2Fa%2F%23%2Froute", 400, "fragment"},
		{"with an empty fragment", "redirect_uri=https%3A%2F%2Fa%2F%23", 400, "fragment"},
		{"unescaped, cut in half", "redirect_uri=https://a/?b=1&c=2&scope=snsapi_base", 400, "encodeURIComponent"},
		{"another scope", ours + "&scope=snsapi_login", 400, "scope has to be"},
		{"two scopes", ours + "&scope=snsapi_base&scope=snsapi_userinfo", 400, "scope is given 2 times"},
		{"a state with more", ours + "&state=a%26b", 400, "state"},
		{"a state with a dash", ours + "&state=a-b", 400, "state"},
		{"a state of 129", ours + "&state=" + strings.Repeat("a", 129), 400, "state"},
		{"no grant", ours + "&appid=" + pay, 403, "oauth calls of " + pay},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := callsWorld(t, new(brokertest.Broker))
			other := apitest.CallsOnly(pay)
			other.Calls = []credential.Grant{credential.Call}
			w.state.Apply([]credential.Account{apitest.CallsOnly(shop), other})
			rec := w.call(apitest.WithKey(apitest.Get("/v1/oauth/url", test.query)))
			if rec.Code != test.status || !strings.Contains(rec.Body.String(), test.says) {
				t.Errorf("HTTP %d: %s", rec.Code, rec.Body)
			}
		})
	}
}
