package rpc_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/broker/internal/audit"
	"github.com/wxbroker/wxbroker/broker/internal/edges"
	"github.com/wxbroker/wxbroker/broker/internal/fanout"
	"github.com/wxbroker/wxbroker/broker/internal/rpc"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// callSite is a server on real time: a WeChat that takes everything, and the
// audit.
type callSite struct {
	wxbrokerv1.WeChatServiceClient
	conn    *grpc.ClientConn
	audit   *journal
	states  *fanout.Fanout
	control *access.Control
	stop    context.CancelFunc
	token   string // that pass presents
}

func newCallSite(t *testing.T) *callSite {
	t.Helper()
	states := new(fanout.Fanout)
	states.Publish(credential.Account{
		AppID: "wx1", Kinds: []credential.Kind{credential.AccessToken},
		Credentials: []credential.Credential{{
			Kind: credential.AccessToken, Version: 1, Value: credential.NewSecret("the-token"),
			Expiry: credential.Clock(credential.WallClock).Now().Add(time.Hour),
		}},
	})
	s := &callSite{audit: new(journal), states: states, control: access.NewControl(access.Open(), credential.WallClock)}
	server := rpc.NewServer(rpc.Options{
		Fanout: states, Edges: new(edges.Register), Access: s.control, Relay: relayed(t, states),
		Audit: audit.New(slog.New(slog.NewTextHandler(s.audit, nil))), Clock: credential.WallClock, Log: slog.New(slog.DiscardHandler),
		Version: "v9",
	})
	listener := bufconn.Listen(64 << 10)
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	served := make(chan error, 1)
	go func() { served <- server.Run(ctx, listener) }()
	conn, err := grpc.NewClient("passthrough:///broker", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	s.conn, s.WeChatServiceClient = conn, wxbrokerv1.NewWeChatServiceClient(conn)
	t.Cleanup(func() {
		_ = conn.Close()
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return s
}

// pass makes a call with a body in pieces, and returns the answer's body.
func (s *callSite) pass(t *testing.T, head *wxbrokerv1.CallHead, pieces ...string) (*wxbrokerv1.CallAnswer, string, error) {
	t.Helper()
	ctx := t.Context()
	if s.token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+s.token)
	}
	stream, err := s.Call(ctx)
	if err != nil {
		t.Fatal(err)
	}
	_ = stream.Send(&wxbrokerv1.CallRequest{Part: &wxbrokerv1.CallRequest_Head{Head: head}}) // Recv says why not
	for _, piece := range pieces {
		_ = stream.Send(&wxbrokerv1.CallRequest{Part: &wxbrokerv1.CallRequest_Body{Body: []byte(piece)}})
	}
	_ = stream.CloseSend()
	var answer *wxbrokerv1.CallAnswer
	body := new(bytes.Buffer)
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return answer, body.String(), nil
		} else if err != nil {
			return answer, body.String(), err
		}
		if part.GetAnswer() != nil {
			answer = part.GetAnswer()
		}
		body.Write(part.GetBody())
	}
}

func head(method, path, query string) *wxbrokerv1.CallHead {
	return &wxbrokerv1.CallHead{Appid: "wx1", Method: method, Path: path, Query: query, Proven: true}
}

// TestCallIsPassedOn with the token that the broker has, and no other.
func TestCallIsPassedOn(t *testing.T) {
	s := newCallSite(t)
	h := head("POST", "/cgi-bin//echo/.", "a=1&access_token=mine&%61ccess_token=mine&b=2")
	h.ContentType, h.ContentLength = "text/x-test", new(int64(10))
	answer, body, err := s.pass(t, h, "hello", "", "world")
	if err != nil {
		t.Fatal(err)
	}
	if want := "POST /cgi-bin/echo?a=1&b=2&access_token=********* text/x-test 10 helloworld"; body != want {
		t.Errorf("WeChat got %q, want %q", body, want)
	}
	if answer.GetStatus() != 201 || answer.GetContentLength() != int64(len(body)) || len(answer.GetHeaders()) != 1 || answer.GetHeaders()[0].GetValue() != "text/x-answer" {
		t.Errorf("answer %v", answer)
	}
	lines := s.audit.take()
	if len(lines) != 1 || !strings.Contains(lines[0], "action=call outcome=granted") || !strings.Contains(lines[0], "api=/cgi-bin/echo") || strings.Contains(lines[0], "the-token") {
		t.Errorf("audit %q", lines)
	}
}

// TestCallRefused: what is never passed on.
func TestCallRefused(t *testing.T) {
	s := newCallSite(t)
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
			request := &wxbrokerv1.CallRequest{Part: &wxbrokerv1.CallRequest_Body{Body: []byte("x")}}
			if tt.head != nil {
				request.Part = &wxbrokerv1.CallRequest_Head{Head: tt.head}
			}
			stream, err := s.Call(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			_ = stream.Send(request)
			if _, err = stream.Recv(); status.Code(err) != tt.code {
				t.Errorf("%v, want %v", err, tt.code)
			}
			lines := s.audit.take()
			if len(lines) != 1 || strings.Contains(lines[0], "outcome=granted") || !strings.Contains(lines[0], "reason=") {
				t.Errorf("audit %q", lines)
			}
		})
	}
}

// TestUsersPathsArePassedOn: with the user's token in the query, and no other. The
// app has it sealed, before and after.
func TestUsersPathsArePassedOn(t *testing.T) {
	s := newCallSite(t)
	_, body, err := s.pass(t, head("GET", wxapi.PathCode, "code=c&secret=a-local-key"))
	var page struct {
		OpenID string `json:"openid"`
		Token  string `json:"access_token"`
	}
	if err != nil || json.Unmarshal([]byte(body), &page) != nil || page.OpenID != "o" || page.Token == "" || strings.Contains(body, "the-users-token") {
		t.Fatalf("%q, %v", body, err)
	}
	unproven := &wxbrokerv1.CallHead{Method: "GET", Path: wxapi.PathUserInfo, Query: "openid=o&secret=x&access_token=" + page.Token}
	if _, body, err := s.pass(t, unproven); err != nil || body != "GET /sns/userinfo?openid=o&access_token=***************  0 " {
		t.Errorf("%q, %v", body, err)
	}
}

// TestHeadersThatAreNotUTF8 are passed on as far as gRPC can.
func TestHeadersThatAreNotUTF8(t *testing.T) {
	s := newCallSite(t)
	answer, _, err := s.pass(t, head("GET", wxapi.PathMedia, "media_id=gbk"))
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
}

// TestMethodsOfOtherVersions: who calls one that this broker does not have is told
// which version it is, if the caller is an app at all.
func TestMethodsOfOtherVersions(t *testing.T) {
	s := newCallSite(t)
	for _, method := range []string{"/wxbroker.v1.WeChatService/SendTemplate", "/wxbroker.v2.CredentialService/Watch"} {
		err := s.conn.Invoke(t.Context(), method, new(wxbrokerv1.ReportInvalidRequest), new(wxbrokerv1.ReportInvalidResponse))
		if status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), "version v9") || !strings.Contains(err.Error(), method) {
			t.Errorf("%s: %v", method, err)
		}
	}
	policy, err := access.NewPolicy([]access.App{{Name: "web", Identities: []access.Identity{"spiffe://prod/web"}, Accounts: []string{"wx1"}, Grants: access.Grants()}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.control.Use(policy)
	if err := s.conn.Invoke(t.Context(), "/wxbroker.v1.WeChatService/SendTemplate", new(wxbrokerv1.ReportInvalidRequest), new(wxbrokerv1.ReportInvalidResponse)); status.Code(err) != codes.Unauthenticated {
		t.Errorf("a stranger: %v", err)
	}
}

// TestCallsAreRated: each proven one counts, and guesses of strangers do not.
func TestCallsAreRated(t *testing.T) {
	s := newCallSite(t)
	secret, id := access.NewToken()
	policy, err := access.NewPolicy([]access.App{{Name: "web", Identities: []access.Identity{id}, Accounts: []string{"wx1"}, Grants: access.Grants(), PerSecond: 1}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.control.Use(policy)
	s.token = secret.Reveal()
	for range 30 {
		_, _, err := s.pass(t, &wxbrokerv1.CallHead{Method: "GET", Path: wxapi.PathUserInfo, Query: "access_token=guess"})
		if status.Code(err) != codes.PermissionDenied {
			t.Fatalf("a guess: %v", err)
		}
	}
	refused := 0
	for range 30 {
		if _, _, err := s.pass(t, head("GET", "/cgi-bin/echo", "")); status.Code(err) == codes.ResourceExhausted {
			refused++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if refused < 15 {
		t.Errorf("of 30 calls at once %d were refused, with one a second allowed", refused)
	}
}
