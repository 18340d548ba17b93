package wechatapi_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/wxbroker/wxbroker/edge/internal/alias"
	"github.com/wxbroker/wxbroker/edge/internal/apitest"
	"github.com/wxbroker/wxbroker/edge/internal/audit"
	"github.com/wxbroker/wxbroker/edge/internal/brokertest"
	"github.com/wxbroker/wxbroker/pkg/credential"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// Who is let in, for which account, and what reaches the broker of the query.
func TestForward(t *testing.T) {
	ours, theirs := apitest.Alias(t, shop, "店"), apitest.Alias(t, pay, "other-edge")
	const token = "57_token"
	tests := []struct {
		name, path, query string
		key               bool
		holder, header    string // in the audit, and for the broker
		appid, wants      string
		proven            bool
	}{
		{"by alias", "/cgi-bin/user/get", "access_token=" + ours + "&next_openid=", false, "店", `\u5e97`, shop, "next_openid=", true},
		{"by another edge's alias", "/cgi-bin/user/get", "access_token=" + theirs, false, "other-edge", "other-edge", pay, "", true},
		{"by token", "/datacube/getusersummary", "a=1&access_token=" + token + "&b=%20+2", false, audit.SharedToken, "", pay, "a=1&b=%20+2", true},
		{"by key", "/cgi-bin/user/get", "appid=" + shop, true, "billing", "billing", shop, "appid=" + shop, true},
		{"by key, with what else is there", "/cgi-bin/user/get", "appid=" + pay + "&access_token=user-input", true, "billing", "billing", pay, "appid=" + pay, true},
		{"the token's name escaped", "/cgi-bin/user/get", "access_token=" + ours + "&%61ccess_token=evil&access%5Ftoken=evil", false, "店", `\u5e97`, shop, "", true},
		{"the token's name in capitals, with spaces", "/cgi-bin/user/get", "access_token=" + ours + "&ACCESS_TOKEN=evil&access_token+=evil&%20access_token=e", false, "店", `\u5e97`, shop, "", true},
		{"a secret that has no place there", "/cgi-bin/user/get", "access_token=" + ours + "&secret=k&%73ecret=k&x=1", false, "店", `\u5e97`, shop, "x=1", true},
		{"names that only look alike", "/cgi-bin/user/get", "access_token=" + ours + "&x_access_token=1&secrets=2", false, "店", `\u5e97`, shop, "x_access_token=1&secrets=2", true},

		{"a code with the key as secret", "/sns/oauth2/access_token", "appid=" + shop + "&secret=k&code=c1&grant_type=authorization_code", false, "billing", "billing", shop, "appid=" + shop + "&code=c1&grant_type=authorization_code", true},
		{"a code with the key as bearer", "/sns/oauth2/access_token", "appid=" + shop + "&code=c1", true, "billing", "billing", shop, "appid=" + shop + "&code=c1", true},
		{"a mini-program's code", "/sns/jscode2session", "appid=" + shop + "&secret=k&js_code=c1", false, "billing", "billing", shop, "appid=" + shop + "&js_code=c1", true},
		{"a user's token", "/sns/userinfo", "access_token=user-token&openid=o1", false, "", "", "", "access_token=user-token&openid=o1", false},
		{"a user's token, of an account", "/sns/userinfo", "access_token=user-token&appid=" + shop, false, "", "", shop, "access_token=user-token&appid=" + shop, false},
		{"a user's token with the key", "/sns/userinfo", "access_token=user-token&appid=" + shop, true, "billing", "billing", shop, "access_token=user-token&appid=" + shop, true},
		{"a refresh token", "/sns/oauth2/refresh_token", "appid=" + shop + "&refresh_token=r1", false, "", "", shop, "appid=" + shop + "&refresh_token=r1", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := &brokertest.Broker{Answer: brokertest.Echo}
			w := newWorld(t, b)
			withToken := apitest.Holding(pay, onlyToken, apitest.Live(credential.AccessToken, token, time.Hour, 0))
			withToken.Calls, withToken.AliasKey = apitest.EveryCall, apitest.AliasKey(pay)
			w.state.Apply([]credential.Account{apitest.CallsOnly(shop), withToken})
			r, body := apitest.Get(test.path, test.query), ""
			if !strings.HasPrefix(test.path, "/sns/") {
				body = `{"a":1}`
				r = apitest.Post(test.path, apitest.JSONType, body)
				r.URL.RawQuery = test.query
			}
			r.Header.Set("Cookie", "a=b")
			r.Header.Set("Range", "bytes=0-1")
			if test.key {
				apitest.WithKey(r)
			}
			rec := w.call(r)
			if rec.Code != http.StatusOK || rec.Body.String() != body || rec.Header().Get("Content-Type") != "text/plain" {
				t.Fatalf("HTTP %d: %s", rec.Code, rec.Body)
			}
			apitest.Audited(t, w.audited, audit.Entry{LocalKey: test.holder, Action: audit.Call, AppID: test.appid, Path: test.path, Status: 200})
			if w.counted != "forwarded" || b.Keys()[0] != test.header {
				t.Errorf("counted as %q, made for %q", w.counted, b.Keys())
			}
			want := &wxbrokerv1.CallHead{
				Appid: test.appid, Method: r.Method, Path: test.path, Query: test.wants, Range: "bytes=0-1", Proven: test.proven,
			}
			if body != "" {
				want.ContentType, want.ContentLength = apitest.JSONType, proto.Int64(7)
			}
			if !proto.Equal(b.Heads()[0], want) {
				t.Errorf("the broker was asked %v, want %v", b.Heads()[0], want)
			}
		})
	}
}

func TestForwardIsRefused(t *testing.T) {
	ours := apitest.Alias(t, shop, "billing")
	expired, err := alias.New(apitest.AliasKey(shop), shop, "billing", time.Now().Add(-time.Second))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, method, path, query, authorization string
		errcode, status                          int
	}{
		{"nothing presented", "GET", "/cgi-bin/user/get", "", "", 41001, 401},
		{"an empty token", "GET", "/cgi-bin/user/get", "access_token=", "", 41001, 401},
		{"another token", "GET", "/cgi-bin/user/get", "access_token=57_other", "", 40001, 401},
		{"an expired alias", "GET", "/cgi-bin/user/get", "access_token=" + expired, "", 40001, 401},
		{"an alias of an account that is not served", "GET", "/cgi-bin/user/get", "access_token=" + apitest.Alias(t, "wxother", "a"), "", 40001, 401},
		{"another app's alias", "GET", "/cgi-bin/user/get", "access_token=" + func() string {
			made, _ := alias.New(apitest.AliasKey("another app"), shop, "a", time.Now().Add(time.Hour))
			return made
		}(), "", 40001, 401},
		{"a token that is not granted", "GET", "/cgi-bin/user/get", "access_token=57_revoked", "", 40001, 401},
		{"another key", "GET", "/cgi-bin/user/get", "", "Bearer x", 40001, 401},
		{"the key as token", "GET", "/cgi-bin/user/get", "access_token=k", "", 40001, 401},
		{"the key as secret", "GET", "/cgi-bin/user/get", "appid=" + shop + "&secret=k", "", 41001, 401},
		{"which account", "GET", "/cgi-bin/user/get", "", "Bearer k", 41002, 400},
		{"a broken escape", "GET", "/cgi-bin/user/get", "access_token=" + ours + "&%zz=1", "", 40035, 400},
		{"a query that is not UTF-8", "GET", "/cgi-bin/user/get", "access_token=" + ours + "&a=\xff", "", 40035, 400},
		{"PUT", "PUT", "/cgi-bin/user/get", "access_token=" + ours, "", 43002, 400},
		{"HEAD", "HEAD", "/cgi-bin/user/get", "access_token=" + ours, "", 43002, 400},
		{"OPTIONS", "OPTIONS", "/cgi-bin/user/get", "access_token=" + ours, "", 43002, 400},
		{"a code without an appid", "GET", "/sns/oauth2/access_token", "secret=k&code=c", "", 41002, 400},
		{"a code without a secret", "GET", "/sns/oauth2/access_token", "appid=" + shop + "&code=c", "", 41004, 401},
		{"a code with another secret", "GET", "/sns/oauth2/access_token", "appid=" + shop + "&secret=x&code=c", "", 40125, 401},
		{"a code with another secret, of an account that is not served", "GET", "/sns/oauth2/access_token", "appid=wxother&secret=x&code=c", "", 40125, 401},
		{"a code of an account that is not served", "GET", "/sns/oauth2/access_token", "appid=wxother&secret=k&code=c", "", 40013, 400},
		{"no user's token", "GET", "/sns/userinfo", "openid=o1", "", 41001, 401},
		{"a POST with a user's token", "POST", "/sns/userinfo", "access_token=u", "", 43001, 400},
		{"a POST with a user's token, and the key", "POST", "/sns/userinfo", "access_token=u", "Bearer k", 43001, 400},
		{"no mini-program's secret", "GET", "/sns/jscode2session", "appid=" + shop + "&secret=x&js_code=c", "", 40125, 401},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := &brokertest.Broker{Answer: brokertest.Echo}
			w := newWorld(t, b)
			token := apitest.Holding(pay, onlyToken, apitest.Live(credential.AccessToken, "57_revoked", time.Hour, 0))
			w.state.Apply([]credential.Account{token})
			w.state.Apply([]credential.Account{apitest.CallsOnly(shop), apitest.CallsOnly(pay)})
			r := apitest.Get(test.path, test.query)
			r.Method = test.method
			if test.authorization != "" {
				r.Header.Set("Authorization", test.authorization)
			}
			rec := w.call(r)
			if code, _ := apitest.Refusal(t, rec); rec.Code != http.StatusOK || code != test.errcode {
				t.Errorf("HTTP %d: %s", rec.Code, rec.Body)
			}
			if len(b.Heads()) > 0 {
				t.Errorf("the broker was asked %v", b.Heads())
			}
			if len(w.audited) != 1 || w.audited[0].Status != test.status || w.audited[0].Path != test.path {
				t.Errorf("audited as %+v", w.audited)
			}
		})
	}
}

// What WeChat answers comes back as it is, but for what is about a connection.
func TestAnswersOfWeChats(t *testing.T) {
	b := &brokertest.Broker{Answer: func(_ *wxbrokerv1.CallHead, stream brokertest.Stream) error {
		return brokertest.Reply(stream, 400, "\x89PNG", "content-type", "image/png", "X-A", "1", "x-a", "2", "Content-Disposition", `attachment; filename="a.png"`,
			"Content-Security-Policy", "default-src *", "Connection", "close", "Transfer-Encoding", "chunked", "Access-Control-Allow-Origin", "*", "Cache-Control", "public")
	}}
	w := newWorld(t, b)
	rec := w.call(apitest.WithKey(apitest.Get("/wxa/getwxacode", "")))
	if rec.Code != 400 || rec.Body.String() != "\x89PNG" {
		t.Errorf("HTTP %d: %q", rec.Code, rec.Body)
	}
	for name, want := range map[string]string{
		"Content-Type": "image/png", "X-A": "1,2", "Content-Disposition": `attachment; filename="a.png"`, "Connection": "", "Transfer-Encoding": "",
		"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox; default-src 'none'",
	} {
		if got := strings.Join(rec.Header()[name], ","); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	if b.Heads()[0].GetMethod() != http.MethodGet || b.Heads()[0].ContentLength != nil {
		t.Errorf("asked %v", b.Heads()[0])
	}
}

// An answer that has no type gets none, and one that has no body may say how
// long that of a GET would be.
func TestAnswersWithout(t *testing.T) {
	for name, test := range map[string]struct {
		status       int
		body, length string
	}{
		"a type": {200, "<html>", "6"}, "a body": {304, "", ""}, "anything": {204, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, &brokertest.Broker{Answer: func(_ *wxbrokerv1.CallHead, stream brokertest.Stream) error {
				head := &wxbrokerv1.CallAnswer{Status: int32(test.status), ContentLength: proto.Int64(6)}
				return errors.Join(
					stream.Send(&wxbrokerv1.CallResponse{Part: &wxbrokerv1.CallResponse_Answer{Answer: head}}),
					stream.Send(&wxbrokerv1.CallResponse{Part: &wxbrokerv1.CallResponse_Body{Body: []byte(test.body)}}))
			}})
			server := httptest.NewServer(w)
			defer server.Close()
			r, _ := http.NewRequest(http.MethodGet, server.URL+"/cgi-bin/x", nil)
			response, err := server.Client().Do(apitest.WithKey(r))
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			if response.StatusCode != test.status || string(body) != test.body || err != nil || response.Header.Get("Content-Length") != test.length {
				t.Errorf("HTTP %d, Content-Length %q: %q, %v", response.StatusCode, response.Header.Get("Content-Length"), body, err)
			}
			if kind, given := response.Header["Content-Type"]; given {
				t.Errorf("Content-Type %q", kind)
			}
		})
	}
}

// What is the same still, for a part of it to be sent, nobody could say.
func TestRangeOnACondition(t *testing.T) {
	b := &brokertest.Broker{Answer: brokertest.Echo}
	r := apitest.WithKey(apitest.Get("/cgi-bin/media/get", "media_id=1"))
	r.Header.Set("Range", "bytes=5-")
	r.Header.Set("If-Range", `"etag"`)
	newWorld(t, b).call(r)
	if got := b.Heads()[0].GetRange(); got != "" {
		t.Errorf("asked for the range %q", got)
	}
}

func TestErrorsOfForwardedCalls(t *testing.T) {
	tests := []struct {
		name    string
		err     error
		errcode int
		errmsg  string
		retry   string
	}{
		{"WeChat's", brokertest.Refusal(t, codes.ResourceExhausted, 45009, "reach max api daily quota limit", time.Hour), 45009, "reach max api daily quota limit", "3600"},
		{"no grant", status.Error(codes.PermissionDenied, "not this path"), 48001, "api unauthorized: not this path", ""},
		{"too many", status.Error(codes.ResourceExhausted, "too many"), 45011, "api minute-quota reach limit, must slower, retry next minute: too many", ""},
		{"no call", status.Error(codes.InvalidArgument, "no path"), 40035, "invalid parameter: no path", ""},
		{"no account", status.Error(codes.NotFound, "no account"), 40013, "invalid appid: no account", ""},
		{"away", status.Error(codes.Unavailable, "away"), -1, "system error: away", ""},
		{"not known", status.Error(codes.Unauthenticated, ""), -1, "system error: Unauthenticated", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, &brokertest.Broker{Answer: brokertest.Fail(test.err)})
			rec := w.call(apitest.WithKey(apitest.Get("/cgi-bin/x", "")))
			code, message := apitest.Refusal(t, rec)
			if rec.Code != http.StatusOK || code != test.errcode || message != test.errmsg || rec.Header().Get("Retry-After") != test.retry {
				t.Errorf("HTTP %d after %q: %s", rec.Code, rec.Header().Get("Retry-After"), rec.Body)
			}
		})
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }
