package calls_test

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/broker/internal/rpc/rpctest"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// TestCallIsPassedOn with the token that the broker has, and no other.
func TestCallIsPassedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		h := head("POST", "/cgi-bin//echo/.", "a=1&access_token=mine&%61ccess_token=mine&b=2")
		h.ContentType, h.ContentLength = "text/x-test", new(int64(10))
		answer, body, err := w.pass(t.Context(), h, "hello", "", "world")
		if err != nil {
			t.Fatal(err)
		}
		if want := "POST /cgi-bin/echo?a=1&b=2&access_token=********* text/x-test 10 helloworld"; body != want {
			t.Errorf("WeChat got %q, want %q", body, want)
		}
		if answer.GetStatus() != 201 || answer.GetContentLength() != int64(len(body)) || len(answer.GetHeaders()) != 1 || answer.GetHeaders()[0].GetValue() != "text/x-answer" {
			t.Errorf("answer %v", answer)
		}
		lines := w.TakeAudit()
		if len(lines) != 1 || !strings.Contains(lines[0], "action=call outcome=granted") || !strings.Contains(lines[0], "api=/cgi-bin/echo") || strings.Contains(lines[0], "the-token") {
			t.Errorf("audit %q", lines)
		}
	})
}

// TestCallRefused: what is never passed on.
func TestCallRefused(t *testing.T) {
	unproven := head("POST", "/cgi-bin/echo", "")
	unproven.Proven = false
	other := head("GET", "/cgi-bin/echo", "")
	other.Appid = "wx2"
	for _, tt := range []struct {
		name string
		head *wxbrokerv1.CallHead
		code codes.Code
	}{
		{"no head", nil, codes.InvalidArgument},
		{"a token", head("GET", "/cgi-bin/token", "grant_type=client_credential"), codes.PermissionDenied},
		{"a token, hidden", head("GET", "/cgi-bin/menu/../token", ""), codes.PermissionDenied},
		{"a token in capitals", head("GET", "/cgi-bin/Token", ""), codes.PermissionDenied},
		{"a stable token", head("POST", "/cgi-bin/stable_token", ""), codes.PermissionDenied},
		{"a ticket", head("GET", "/cgi-bin/ticket/getticket", "type=jsapi"), codes.PermissionDenied},
		{"the quota", head("POST", "/cgi-bin/clear_quota/v2", ""), codes.PermissionDenied},
		{"another user's code", head("GET", "/sns/jscode2session", ""), codes.PermissionDenied},
		{"an escape", head("GET", "/cgi-bin/%74oken", ""), codes.InvalidArgument},
		{"no path", head("GET", "", ""), codes.InvalidArgument},
		{"another method", head("DELETE", "/cgi-bin/echo", ""), codes.InvalidArgument},
		{"a header in the query", head("GET", "/cgi-bin/echo", "a=1 HTTP/1.1\r\nX: y"), codes.InvalidArgument},
		{"not proven", unproven, codes.PermissionDenied},
		{"an account that is not kept", other, codes.NotFound},
		{"a user's token that nobody was given", &wxbrokerv1.CallHead{Method: "GET", Path: "/sns/userinfo", Query: "access_token=guess"}, codes.PermissionDenied},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				request := &wxbrokerv1.CallRequest{Part: &wxbrokerv1.CallRequest_Body{Body: []byte("x")}}
				if tt.head != nil {
					request.Part = &wxbrokerv1.CallRequest_Head{Head: tt.head}
				}
				stream, err := wxbrokerv1.NewWeChatServiceClient(w.Conn).Call(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				_ = stream.Send(request)
				if _, err = stream.Recv(); status.Code(err) != tt.code {
					t.Errorf("%v, want %v", err, tt.code)
				}
				lines := w.TakeAudit()
				if len(lines) != 1 || strings.Contains(lines[0], "outcome=granted") || !strings.Contains(lines[0], "reason=") {
					t.Errorf("audit %q", lines)
				}
			})
		})
	}
}

// TestUsersPathsArePassedOn: with the user's token in the query, and no other. The
// app has it sealed, before and after.
func TestUsersPathsArePassedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		_, body, err := w.pass(t.Context(), head("GET", wxapi.PathCode, "code=c&secret=a-local-key"))
		var page struct {
			OpenID string `json:"openid"`
			Token  string `json:"access_token"`
		}
		if err != nil || json.Unmarshal([]byte(body), &page) != nil || page.OpenID != "o" || page.Token == "" || strings.Contains(body, "the-users-token") {
			t.Fatalf("%q, %v", body, err)
		}
		unproven := &wxbrokerv1.CallHead{Method: "GET", Path: wxapi.PathUserInfo, Query: "openid=o&secret=x&access_token=" + page.Token}
		if _, body, err := w.pass(t.Context(), unproven); err != nil || body != "GET /sns/userinfo?openid=o&access_token=***************  0 " {
			t.Errorf("%q, %v", body, err)
		}
	})
}

// TestHeadersThatAreNotUTF8 are passed on as far as gRPC can.
func TestHeadersThatAreNotUTF8(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		answer, _, err := w.pass(t.Context(), head("GET", wxapi.PathMedia, "media_id=gbk"))
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, h := range answer.GetHeaders() {
			got[h.GetName()] = h.GetValue()
		}
		if got["Content-Disposition"] != `attachment; filename="_.jpg"` || got["Content-Type"] != "image/jpeg;_" {
			t.Errorf("headers %v", got)
		}
	})
}

// TestCallsAreRated: each proven one counts, and guesses of strangers do not.
func TestCallsAreRated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		token, id := access.NewToken()
		w.Use(access.App{Name: "web", Identities: []access.Identity{id}, Accounts: []string{"wx1"}, Grants: credential.Grants(), PerSecond: 1})
		web := rpctest.By(t.Context(), token.Reveal())
		for range 30 {
			_, _, err := w.pass(web, &wxbrokerv1.CallHead{Method: "GET", Path: wxapi.PathUserInfo, Query: "access_token=guess"})
			if status.Code(err) != codes.PermissionDenied {
				t.Fatalf("a guess: %v", err)
			}
		}
		refused := 0
		for range 30 {
			if _, _, err := w.pass(web, head("GET", "/cgi-bin/echo", "")); status.Code(err) == codes.ResourceExhausted {
				refused++
			} else if err != nil {
				t.Fatal(err)
			}
		}
		if refused != 20 { // ten seconds' worth may come at once
			t.Errorf("of 30 calls at once %d were refused, with one a second allowed", refused)
		}
	})
}
