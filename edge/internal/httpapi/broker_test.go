package httpapi_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/wxbroker/wxbroker/edge/internal/audit"
	"github.com/wxbroker/wxbroker/edge/internal/broker"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

type callStream = grpc.BidiStreamingServer[wxbrokerv1.CallRequest, wxbrokerv1.CallResponse]

// fakeBroker is a broker that makes calls, and notes what it was asked. It fails
// with fails, or has WeChat say says, where these are set.
type fakeBroker struct {
	wxbrokerv1.UnimplementedCredentialServiceServer
	wxbrokerv1.UnimplementedWeChatServiceServer
	fails    error
	says     string
	delay    time.Duration // of messages
	page     string        // WeChat's answer to a code
	userInfo string        // and about the user
	media    func(*wxbrokerv1.CallHead, callStream) error
	call     func(*wxbrokerv1.CallHead, callStream) error // any other, and all if it is set
	report   func(key string, r *wxbrokerv1.ReportInvalidRequest) (credential.Versions, error)

	mu       sync.Mutex
	keys     []string
	messages []string // bodies
	codes    []*wxbrokerv1.CallHead
	users    []*wxbrokerv1.CallHead
	heads    []*wxbrokerv1.CallHead // of every call
}

// Call implements [wxbrokerv1.WeChatServiceServer].
func (b *fakeBroker) Call(stream callStream) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	head := first.GetHead()
	headers, _ := metadata.FromIncomingContext(stream.Context())
	b.mu.Lock()
	b.keys = append(b.keys, strings.Join(headers.Get("wxbroker-local-key"), ","))
	b.heads = append(b.heads, head)
	switch head.GetPath() {
	case wxapi.PathCode:
		b.codes = append(b.codes, head)
	case wxapi.PathUserInfo:
		b.users = append(b.users, head)
	}
	b.mu.Unlock()
	switch {
	case b.fails != nil:
		return b.fails
	case b.says != "":
		return answerCall(stream, http.StatusOK, b.says, "Content-Type", "application/json; encoding=utf-8")
	}
	switch path := head.GetPath(); {
	case path == wxapi.PathTemplate && (b.call == nil || b.delay > 0):
		return b.template(stream)
	case path == wxapi.PathCode && b.call == nil:
		return answerCall(stream, http.StatusOK, b.page)
	case path == wxapi.PathUserInfo && b.call == nil:
		return answerCall(stream, http.StatusOK, b.userInfo)
	case b.media != nil && (path == wxapi.PathMedia || path == wxapi.PathHDVoice):
		return b.media(head, stream)
	}
	return b.call(head, stream)
}

func (b *fakeBroker) template(stream callStream) error {
	body, err := received(stream)
	if err != nil {
		return err
	}
	b.mu.Lock()
	b.messages = append(b.messages, string(body))
	b.mu.Unlock()
	<-time.After(b.delay)
	return answerCall(stream, http.StatusOK, `{"errcode":0,"errmsg":"ok","msgid":9007199254740993}`)
}

// ReportInvalid implements [wxbrokerv1.CredentialServiceServer].
func (b *fakeBroker) ReportInvalid(ctx context.Context, r *wxbrokerv1.ReportInvalidRequest) (*wxbrokerv1.ReportInvalidResponse, error) {
	headers, _ := metadata.FromIncomingContext(ctx)
	v, err := b.report(strings.Join(headers.Get("wxbroker-local-key"), ","), r)
	return &wxbrokerv1.ReportInvalidResponse{ReportedVersion: v.Reported, CurrentVersion: v.Current}, err
}

// received reads the body of a call.
func received(stream callStream) ([]byte, error) {
	var body []byte
	for {
		request, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return body, nil
		}
		if err != nil {
			return nil, err
		}
		body = append(body, request.GetBody()...)
	}
}

// echo answers a call with its body, as text.
func echo(_ *wxbrokerv1.CallHead, stream callStream) error {
	body, err := received(stream)
	if err != nil {
		return err
	}
	return answerCall(stream, http.StatusOK, string(body), "Content-Type", "text/plain")
}

// answerCall answers a call with a status, a body and headers.
func answerCall(stream callStream, code int32, body string, headers ...string) error {
	return errors.Join(sendHead(stream, code, -1, headers...), sendPiece(stream, body))
}

// sendHead begins the answer to a call, of that length, -1 where it is not known.
func sendHead(stream callStream, code int32, length int64, headers ...string) error {
	answer := &wxbrokerv1.CallAnswer{Status: code}
	for pair := range slices.Chunk(headers, 2) {
		answer.Headers = append(answer.Headers, &wxbrokerv1.CallHeader{Name: pair[0], Value: pair[1]})
	}
	if length >= 0 {
		answer.ContentLength = &length
	}
	return stream.Send(&wxbrokerv1.CallResponse{Part: &wxbrokerv1.CallResponse_Answer{Answer: answer}})
}

func sendPiece(stream callStream, piece string) error {
	return stream.Send(&wxbrokerv1.CallResponse{Part: &wxbrokerv1.CallResponse_Body{Body: []byte(piece)}})
}

// wechatSays is an error with which WeChat's own comes.
func wechatSays(t testing.TB, code codes.Code, errcode int32, errmsg string, retry time.Duration) error {
	t.Helper()
	refusal := &wxbrokerv1.Refusal{Errcode: errcode, Errmsg: errmsg}
	if retry != 0 {
		refusal.RetryTime = timestamppb.New(time.Now().Add(retry))
	}
	s, err := status.New(code, "WeChat refuses").WithDetails(refusal)
	if err != nil {
		t.Fatal(err)
	}
	return s.Err()
}

// callsWorld is a world whose edge may have calls made for the account shop by
// a broker, with the key k, of the name billing.
func callsWorld(t testing.TB, b *fakeBroker) *world {
	t.Helper()
	w := newWorld(t, wechatsim.Settings{})
	w.setKeys("billing k\n")
	w.state.Apply([]credential.Account{callsOnly(shop)})
	w.connect(b)
	return w
}

// connect gives the API a broker, as far away as the real one.
func (w *world) connect(b *fakeBroker, options ...grpc.ServerOption) {
	w.t.Helper()
	listener := bufconn.Listen(1 << 20)
	// As the broker's: what the client's keepalive sends must not count as abuse.
	server := grpc.NewServer(append(options, grpc.WaitForHandlers(true),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}))...)
	wxbrokerv1.RegisterWeChatServiceServer(server, b)
	wxbrokerv1.RegisterCredentialServiceServer(server, b)
	go func() { _ = server.Serve(listener) }()
	leaves(w.t, server)
	client, err := broker.New("passthrough:///broker", "v1.2.3", []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(client.Close)
	w.api.Broker = client
}

// leaves has a broker go away at the end of the test, or after a day in fake time:
// a call that nothing else ends fails then, and nobody waits for ever.
func leaves(t testing.TB, server *grpc.Server) {
	t.Helper()
	tomorrow := time.AfterFunc(24*time.Hour, server.Stop)
	t.Cleanup(func() {
		tomorrow.Stop()
		server.Stop()
	})
}

var everyCall = []credential.Grant{credential.Template, credential.Media, credential.OAuth, credential.Call}

// callsOnly is an account of which the broker grants calls and nothing else.
func callsOnly(appid string) credential.Account {
	return credential.Account{AppID: appid, Calls: everyCall, AliasKey: aliasKey(appid)}
}

func aliasKey(seed string) credential.Secret {
	return credential.NewSecret((seed + strings.Repeat("k", 32))[:32])
}

// withKey presents the local key.
func withKey(r *http.Request) *http.Request {
	r.Header.Set("Authorization", "Bearer k")
	return r
}

// call sends a request to a path that calls WeChat and checks what has to be
// right about every answer.
func (w *world) call(r *http.Request) *httptest.ResponseRecorder {
	w.t.Helper()
	w.answered, w.audited = nil, nil
	rec := httptest.NewRecorder()
	r.Header.Set("Origin", "https://shop.example.com")
	w.api.ServeHTTP(rec, r)
	if got := rec.Header().Get("Cache-Control"); got != "no-store" {
		w.t.Errorf("Cache-Control %q", got)
	}
	// Whatever is in it, and somebody else has put much of it there, is what its
	// Content-Type says.
	if got := rec.Header().Get("X-Content-Type-Options"); got != "nosniff" {
		w.t.Errorf("X-Content-Type-Options %q", got)
	}
	if got := rec.Header().Get("Access-Control-Allow-Origin"); got != "" {
		w.t.Errorf("a page may read this: %q", got)
	}
	if len(w.answered) != 1 || !strings.HasSuffix(w.answered[0], fmt.Sprint(" ", rec.Code)) {
		w.t.Errorf("the metrics were told %q of an answer %d", w.answered, rec.Code)
	}
	for _, e := range w.audited {
		for _, secret := range []string{"k", r.URL.Query().Get("code"), r.URL.Query().Get("access_token")} {
			if slices.Contains(strings.FieldsFunc(fmt.Sprint(e), func(r rune) bool { return strings.ContainsRune(" {}:=&?", r) }), cmp.Or(secret, "k")) {
				w.t.Errorf("a secret is in the audit: %+v", e)
			}
		}
	}
	return rec
}

// audit fails unless the request before was audited once, as want but for where
// it came from and, if it was refused, why.
func (w *world) wasAudited(want audit.Entry) {
	w.t.Helper()
	if len(w.audited) != 1 {
		w.t.Fatalf("audited as %+v", w.audited)
	}
	got := w.audited[0]
	if (got.Reason == "") != (got.Status < 300) {
		w.t.Errorf("HTTP %d is audited with the reason %q", got.Status, got.Reason)
	}
	want.Address, want.Reason = got.Address, got.Reason
	if got != want {
		w.t.Errorf("audited as %+v, want %+v", got, want)
	}
}

// refusalIn returns the errcode and errmsg of an answer.
func refusalIn(t testing.TB, rec *httptest.ResponseRecorder) (errcode int, errmsg string) {
	t.Helper()
	var body struct {
		ErrCode *int    `json:"errcode"`
		ErrMsg  *string `json:"errmsg"`
	}
	if err := json.Unmarshal(rec.Body.Bytes(), &body); err != nil || body.ErrCode == nil || body.ErrMsg == nil || *body.ErrMsg == "" {
		t.Fatalf("no error: HTTP %d, %s", rec.Code, rec.Body)
	}
	return *body.ErrCode, *body.ErrMsg
}

// readable returns the errmsg of an answer.
func readable(t testing.TB, rec *httptest.ResponseRecorder) string {
	t.Helper()
	_, message := refusalIn(t, rec)
	return message
}

// sameJSON reports whether two texts mean the same.
func sameJSON(t testing.TB, one, other string) bool {
	t.Helper()
	var a, b any
	if err := errors.Join(json.Unmarshal([]byte(one), &a), json.Unmarshal([]byte(other), &b)); err != nil {
		t.Fatal(err)
	}
	return reflect.DeepEqual(a, b)
}

var nothingSpecial wechatsim.Settings

// silent is an audit that nobody looks at.
func silent(audit.Entry) {}
