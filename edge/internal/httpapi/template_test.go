package httpapi_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/edge/internal/apitest"
	"github.com/wxbroker/wxbroker/edge/internal/audit"
	"github.com/wxbroker/wxbroker/edge/internal/brokertest"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

const sendPath = "/v1/template/send"

func TestTemplateReachesTheBrokerAsItIs(t *testing.T) {
	tests := []struct{ name, query, body, want string }{
		{
			"everything", "", `{"touser":"o1","template_id":"t1","url":"https://a/?b=1&c=2","miniprogram":{"appid":"wxmini","pagepath":"index?a=b"},
			"client_msg_id":"m1","data":{"first":{"value":"你好\n","color":"#173177"},"keyword1":{"value":""}},"color":"#1","topcolor":"#2"}`,
			`{"touser":"o1","template_id":"t1","url":"https://a/?b=1&c=2","miniprogram":{"appid":"wxmini","pagepath":"index?a=b"},` +
				`"client_msg_id":"m1","data":{"first":{"value":"你好\n","color":"#173177"},"keyword1":{"value":""}},"color":"#1","topcolor":"#2"}`,
		},
		{"nothing", "", `{}`, `{"touser":"","template_id":"","data":{}}`},
		{"what HTML escapes", "", `{"data":{"a":{"value":"<b> & c"}}}`, `{"touser":"","template_id":"","data":{"a":{"value":"<b> & c"}}}`},
		{
			"numbers as they are written", "", `{"data":{"a":{"value":12345678901234567890.10},"b":{"value":-0e1},"c":{"value":null}}}`,
			`{"touser":"","template_id":"","data":{"a":{"value":"12345678901234567890.10"},"b":{"value":"-0e1"},"c":{"value":""}}}`,
		},
		{"the account in the query", "appid=" + shop, `{}`, `{"touser":"","template_id":"","data":{}}`},
		{"the account in the body", "", `{"appid":"` + shop + `"}`, `{"touser":"","template_id":"","data":{}}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var sent string
			b := &brokertest.Broker{Answer: func(_ *wxbrokerv1.CallHead, stream brokertest.Stream) error {
				body, err := brokertest.Body(stream)
				sent = string(body)
				return errors.Join(err, brokertest.Reply(stream, http.StatusOK, `{"errcode":0,"errmsg":"ok","msgid":9007199254740993}`))
			}}
			w := callsWorld(t, b)
			r := apitest.WithKey(apitest.Post(sendPath, apitest.JSONType, test.body))
			r.URL.RawQuery = test.query
			rec := w.call(r)
			if rec.Code != http.StatusOK || rec.Body.String() != `{"msgid":"9007199254740993"}` {
				t.Fatalf("HTTP %d: %s", rec.Code, rec.Body)
			}
			apitest.Audited(t, w.audited, audit.Entry{LocalKey: "billing", Action: audit.Template, AppID: shop, Status: 200})
			if !sameJSON(t, sent, test.want) || strings.Contains(sent, `\u00`) {
				t.Errorf("WeChat was sent %s", sent)
			}
			if got := b.Heads()[0]; got.GetAppid() != shop || got.GetMethod() != http.MethodPost || got.GetContentType() != apitest.JSONType || int(got.GetContentLength()) != len(sent) {
				t.Errorf("the broker was asked %v", got)
			}
			if b.Keys()[0] != "billing" {
				t.Errorf("for %q", b.Keys())
			}
		})
	}
}

func TestTemplatesThatAreRefused(t *testing.T) {
	tests := []struct {
		name, key, query, contentType, body string
		status                              int
		says                                string
	}{
		{"no key", "", "", apitest.JSONType, `{}`, 401, "Bearer"},
		{"another key", "x", "", apitest.JSONType, `{}`, 401, "Bearer"},
		{"a form", "k", "", apitest.FormType, `touser=o1`, 415, "application/json"},
		{"no content type", "k", "", "", `{}`, 415, "application/json"},
		{"no body", "k", "", apitest.JSONType, ``, 400, "not a JSON object"},
		{"no JSON", "k", "", apitest.JSONType, `{"touser":`, 400, "not a JSON object"},
		{"a list", "k", "", apitest.JSONType, `[]`, 400, "not a JSON object"},
		{"null", "k", "", apitest.JSONType, `null`, 400, "not a JSON object"},
		{"two objects", "k", "", apitest.JSONType, `{}{}`, 400, "not a JSON object"},
		{"not UTF-8", "k", "", apitest.JSONType, "{\"touser\":\"\xff\"}", 400, "not a JSON object"},
		{"too much", "k", "", apitest.JSONType, `{"touser":"` + strings.Repeat("a", 64<<10) + `"}`, 413, "65536 bytes"},
		{"an unknown member", "k", "", apitest.JSONType, `{"tousr":"o1"}`, 400, `"tousr" in the body`},
		{"an unknown member of miniprogram", "k", "", apitest.JSONType, `{"miniprogram":{"path":"x"}}`, 400, `"path" in the body`},
		{"an unknown member of data", "k", "", apitest.JSONType, `{"data":{"a":{"val":"x"}}}`, 400, `"val" in the body`},
		{"a member of another type", "k", "", apitest.JSONType, `{"touser":1}`, 400, "touser has a type"},
		{"data as a list", "k", "", apitest.JSONType, `{"data":[]}`, 400, "data has a type"},
		{"a value that is a bool", "k", "", apitest.JSONType, `{"data":{"a":{"value":true}}}`, 400, "a value in data has a type"},
		{"a value that is an object", "k", "", apitest.JSONType, `{"data":{"a":{"value":{}}}}`, 400, "a value in data has a type"},
		{"the account twice", "k", "appid=" + shop, apitest.JSONType, `{"appid":"` + shop + `"}`, 400, "appid is given 2 times"},
		{"an unknown account", "k", "appid=wxunknown", apitest.JSONType, `{}`, 400, "wxunknown"},
		{"no such account", "k", "appid=a%20b", apitest.JSONType, `{}`, 400, "appid is not one"},
		{"an account without the grant", "k", "appid=" + pay, apitest.JSONType, `{}`, 403, "does not grant template calls of " + pay},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := new(brokertest.Broker)
			w := callsWorld(t, b)
			other := apitest.CallsOnly(pay)
			other.Calls = []credential.Grant{credential.Media}
			w.state.Apply([]credential.Account{apitest.CallsOnly(shop), other})
			r := apitest.Post(sendPath, test.contentType, test.body)
			r.URL.RawQuery = test.query
			if test.key != "" {
				r.Header.Set("Authorization", "Bearer "+test.key)
			}
			rec := w.call(r)
			if rec.Code != test.status || !strings.Contains(errmsg(t, rec), test.says) || len(rec.Body.String()) > 512 {
				t.Errorf("HTTP %d: %s", rec.Code, rec.Body)
			}
			if len(w.audited) != 1 || w.audited[0].Status != test.status || len(b.Heads()) > 0 {
				t.Errorf("audited as %+v, %d calls", w.audited, len(b.Heads()))
			}
		})
	}
}

// Whatever the broker says has a fitting status, and what WeChat says is passed
// on as it is.
func TestErrorsOfCalls(t *testing.T) {
	tests := []struct {
		name    string
		err     error  // the broker's
		says    string // or WeChat's answer
		status  int
		errcode int
		errmsg  string
		retry   string
	}{
		{"WeChat refuses the receiver", nil, `{"errcode":40003,"errmsg":"invalid openid rid: 1"}`, 400, 40003, "invalid openid rid: 1", ""},
		{"WeChat's quota is spent", nil, `{"errcode":45009,"errmsg":"reach max api daily quota limit"}`, 429, 45009, "reach max api daily quota limit", "3600"},
		{"it is called too often", nil, `{"errcode":45011,"errmsg":"too often"}`, 429, 45011, "too often", "60"},
		{"WeChat has no such thing", nil, `{"errcode":40007,"errmsg":"invalid media_id"}`, 404, 40007, "invalid media_id", ""},
		{"the account may not", nil, `{"errcode":48001,"errmsg":"api unauthorized"}`, 403, 48001, "api unauthorized", ""},
		{"WeChat refuses the broker", nil, `{"errcode":40164,"errmsg":"invalid ip"}`, 502, 40164, "invalid ip", ""},
		{"WeChat refuses the token that the broker has renewed", nil, `{"errcode":40001,"errmsg":"invalid credential"}`, 502, 40001, "invalid credential", ""},
		{"WeChat is busy", nil, `{"errcode":-1,"errmsg":"system error"}`, 503, -1, "system error", "5"},
		{"a code in a string", nil, `{"errcode":"-1","errmsg":"system error"}`, 503, -1, "system error", "5"},
		{"words that nobody should show", nil, "{\"errcode\":40003,\"errmsg\":\"a\\u0007b" + strings.Repeat("c", 300) + "\"}", 400, 40003, "a b" + strings.Repeat("c", 197) + "…", ""},
		{"the API is stopped", brokertest.Refusal(t, codes.ResourceExhausted, 45009, "not called until", time.Hour), "", 429, 45009, "not called until", "3600"},
		{"and is back just now", brokertest.Refusal(t, codes.ResourceExhausted, 45011, "too often", -time.Hour), "", 429, 45011, "too often", "1"},
		{"the broker's own budget", status.Error(codes.ResourceExhausted, "the app has made its calls"), "", 429, 429, "the app has made its calls", "1"},
		{"no grant", status.Error(codes.PermissionDenied, "no grant template"), "", 403, 403, "the broker refuses this edge's call: no grant template", ""},
		{"no such request", status.Error(codes.InvalidArgument, "touser is empty"), "", 400, 400, "touser is empty", ""},
		{"a person has to see to it", status.Error(codes.FailedPrecondition, "see wxbroker status"), "", 502, 502, "see wxbroker status", ""},
		{"not known", status.Error(codes.Unauthenticated, "who is this"), "", 503, 503, "the broker cannot be asked: who is this", "5"},
		{"away", status.Error(codes.Unavailable, "away"), "", 503, 503, "the broker cannot be asked: away", "5"},
		{"of another version", status.Error(codes.Unimplemented, "this broker (version v9) knows no method x"), "", 503, 503, "the broker cannot be asked: this edge (version v1.2.3) asks what its broker does not know: this broker (version v9) knows no method x", "5"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			answer := brokertest.JSON(test.says)
			if test.err != nil {
				answer = brokertest.Fail(test.err)
			}
			w := callsWorld(t, &brokertest.Broker{Answer: answer})
			for _, r := range []*http.Request{apitest.Post(sendPath, apitest.JSONType, "{}"), apitest.Get("/v1/media/abc", ""), apitest.Get("/v1/oauth/openid", "code=abc")} {
				rec := w.call(apitest.WithKey(r))
				code, message := apitest.Refusal(t, rec)
				retry := test.retry
				if test.status == http.StatusServiceUnavailable && r.URL.Path != "/v1/media/abc" {
					retry = "" // it may have been done, so nobody is told to ask again
				}
				if rec.Code != test.status || code != test.errcode || message != test.errmsg || rec.Header().Get("Retry-After") != retry {
					t.Errorf("%s: HTTP %d after %q: %s", r.URL.Path, rec.Code, rec.Header().Get("Retry-After"), rec.Body)
				}
				if w.audited[0].Status != test.status || w.audited[0].Reason != test.errmsg {
					t.Errorf("audited as %+v", w.audited[0])
				}
			}
		})
	}
}

// Without local keys nobody calls WeChat, whatever is presented.
func TestCallsWithoutLocalKeys(t *testing.T) {
	w := newWorld(t, wechatsim.Settings{})
	w.state.Apply([]credential.Account{apitest.CallsOnly(shop)})
	for _, r := range []*http.Request{
		apitest.Post(sendPath, apitest.JSONType, "{}"), apitest.Get("/v1/media/abc", ""), apitest.Get("/v1/media/abc/jssdk", ""), apitest.Get("/v1/oauth/openid", "code=abc"), apitest.Get("/v1/oauth/url", ""),
	} {
		if rec := w.call(apitest.WithKey(r)); rec.Code != http.StatusForbidden || !strings.Contains(rec.Body.String(), "--local-key-file") {
			t.Errorf("%s: HTTP %d: %s", r.URL.Path, rec.Code, rec.Body)
		}
	}
}
