package access_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

func TestCleanAPI(t *testing.T) {
	for raw, want := range map[string]string{
		"/cgi-bin/message/custom/send":        "/cgi-bin/message/custom/send",
		"/cgi-bin//message/./custom/send/":    "/cgi-bin/message/custom/send",
		"/cgi-bin/menu/../token":              "/cgi-bin/token",
		"/../../cgi-bin/token":                "/cgi-bin/token",
		"/cgi-bin/clear_quota/v2":             "/cgi-bin/clear_quota/v2",
		"/wxa/x.y-z_0":                        "/wxa/x.y-z_0",
		"":                                    "",
		"/":                                   "",
		"//":                                  "",
		"cgi-bin/token":                       "",
		"/cgi-bin/%74oken":                    "",
		"/cgi-bin/token%00":                   "",
		"/cgi-bin/token;x=1":                  "",
		"/cgi-bin\\token":                     "",
		"/cgi-bin/token?a=b":                  "",
		"/cgi-bin/token#a":                    "",
		"/cgi-bin/to ken":                     "",
		"/cgi-bin/token\n":                    "",
		"/cgi-bin/ｔｏｋｅｎ":                      "",
		"/cgi-bin/.hidden":                    "",
		"http://other.example/cgi-bin/token":  "",
		"/" + strings.Repeat("a", 300):        "",
		"/cgi-bin/" + strings.Repeat("/", 90): "/cgi-bin",
	} {
		got, err := access.CleanAPI(raw)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q is cleaned to %q (%v), want %q", raw, got, err, want)
		}
	}
}

func TestClosed(t *testing.T) {
	for api, want := range map[string]bool{
		"/cgi-bin/token": true, "/cgi-bin/stable_token": true, "/cgi-bin/Token": true, "/CGI-BIN/STABLE_TOKEN": true, "/cgi-bin/token/x": true,
		"/cgi-bin/ticket/getticket": true, "/cgi-bin/ticket/other": true, "/cgi-bin/clear_quota": true, "/cgi-bin/clear_quota/v2": true,
		"/cgi-bin/openapi/quota/clear": true, "/cgi-bin/openapi/quota/get": false, "/cgi-bin/openapi/rid/get": true,
		"/cgi-bin/component/api_query_auth": true, "/sns/jscode2session": true, "/sns/oauth2/component/access_token": true, "/sns": true, "/sns/other": true,
		"/wxa/resetusersessionkey": true, "/tcb/getqcloudtoken": true, "/cgi-bin/gettoken": true, "/cgi-bin/tokens": false, "/wxa/msg_sec_check": false,
		"/sns/oauth2/access_token": false, "/sns/userinfo": false, "/sns/auth": false, "/sns/oauth2/refresh_token": false, "/SNS/oauth2/access_token": true,
		"/cgi-bin/message/template/send": false, "/cgi-bin/media/get": false, "/card/create": false, "/datacube/getusersummary": false,
		"/cgi-bin/get_api_domain_ip": false, "/customservice/kfaccount/add": false,
	} {
		if got := access.Closed(api); got != want {
			t.Errorf("%s is closed: %v", api, got)
		}
	}
}

func TestParsePattern(t *testing.T) {
	for pattern, ok := range map[string]bool{
		"/*": true, "/cgi-bin/*": true, "/cgi-bin/message/custom/send": true, "/card/*": true,
		"": false, "*": false, "/": false, "cgi-bin/*": false, "/cgi-bin/": false, "/cgi-bin/*/send": false, "/cgi-bin/mess*": false, "/cgi-bin//x": false,
		"/cgi-bin/../x": false, "/cgi-bin/token": false, "/cgi-bin/%2a": false,
	} {
		if _, err := access.ParsePattern(pattern); (err == nil) != ok {
			t.Errorf("%q: %v", pattern, err)
		}
	}
}

func TestMayCall(t *testing.T) {
	const send, custom, card = wxapi.PathTemplate, "/cgi-bin/message/custom/send", "/card/create"
	for _, tt := range []struct {
		name   string
		app    access.App
		may    []string
		mayNot []string
	}{
		{
			"nothing",
			access.App{Grants: []credential.Grant{credential.Sign, credential.Token, credential.Report, credential.Admin}},
			nil,
			[]string{send, custom, wxapi.PathMedia, wxapi.PathCode, "/cgi-bin/token"},
		},
		{
			"call",
			access.App{Grants: []credential.Grant{credential.Call}},
			[]string{send, custom, card, wxapi.PathMedia},
			[]string{wxapi.PathCode, wxapi.PathUserInfo, "/cgi-bin/token", "/cgi-bin/clear_quota"},
		},
		{
			"some calls",
			access.App{Grants: []credential.Grant{credential.Call}, Calls: []access.Pattern{"/cgi-bin/message/*", card}},
			[]string{send, custom, card},
			[]string{wxapi.PathMedia, "/card/get", "/card/create/x", "/cgi-bin/message", "/cgi-bin/messages/x", wxapi.PathCode},
		},
		{"template", access.App{Grants: []credential.Grant{credential.Template}}, []string{send}, []string{custom, wxapi.PathMedia, wxapi.PathCode}},
		{"media", access.App{Grants: []credential.Grant{credential.Media}}, []string{wxapi.PathMedia, wxapi.PathHDVoice}, []string{custom, send, "/cgi-bin/media/upload"}},
		{
			"oauth",
			access.App{Grants: []credential.Grant{credential.OAuth}},
			[]string{wxapi.PathCode, wxapi.PathUserInfo, wxapi.PathAuth, wxapi.PathRenewal},
			[]string{custom, "/sns/jscode2session"},
		},
		{"patterns are of call alone", access.App{Grants: []credential.Grant{credential.Template}, Calls: []access.Pattern{"/*"}}, []string{send}, []string{custom}},
		{
			"everything",
			access.App{Grants: credential.Grants(), Calls: []access.Pattern{"/*"}},
			[]string{send, custom, card, wxapi.PathCode},
			[]string{"/cgi-bin/token", "/cgi-bin/ticket/getticket", "/cgi-bin/Clear_Quota/v2"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, api := range tt.may {
				if !tt.app.MayCall(api) {
					t.Errorf("it may not call %s", api)
				}
			}
			for _, api := range tt.mayNot {
				if tt.app.MayCall(api) {
					t.Errorf("it may call %s", api)
				}
			}
		})
	}
}

func TestCallsPerDay(t *testing.T) {
	app := access.App{PerDay: map[string]int{wxapi.PathTemplate: 100, access.EachAPI: 7}}
	for api, want := range map[string]int{wxapi.PathTemplate: 100, "/cgi-bin/message/template/Send": 100, "/card/create": 7} {
		if n, ok := app.CallsPerDay(api); n != want || !ok {
			t.Errorf("%s: %d, %v", api, n, ok)
		}
	}
	if n, ok := new(access.App).CallsPerDay("/card/create"); ok {
		t.Errorf("without a limit: %d", n)
	}
}

// FuzzCleanAPI: a cleaned path is the same path to everybody who reads it, and a
// closed API stays closed however its path is written.
func FuzzCleanAPI(f *testing.F) {
	for _, seed := range []string{"/cgi-bin/token", "/cgi-bin/../cgi-bin//token/.", "/cgi-bin/%74oken", "/sns/oauth2/access_token", "/a/b.c/..", "/x\\y"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		got, err := access.CleanAPI(raw)
		if err != nil {
			return
		}
		if again, err := access.CleanAPI(got); err != nil || again != got {
			t.Errorf("%q is cleaned to %q, and that to %q (%v)", raw, got, again, err)
		}
		u, err := url.Parse("https://api.weixin.qq.com" + got)
		if err != nil || u.Path != got || u.RawQuery != "" || u.Host != "api.weixin.qq.com" || u.EscapedPath() != got {
			t.Errorf("%q is cleaned to %q, which is %v", raw, got, u)
		}
		everything := access.App{Grants: credential.Grants()}
		for _, closed := range []string{"token", "stable_token", "clear_quota", "getticket"} {
			if slices.Contains(strings.Split(strings.ToLower(got), "/"), closed) && everything.MayCall(got) {
				t.Errorf("%q may be called", got)
			}
		}
	})
}
