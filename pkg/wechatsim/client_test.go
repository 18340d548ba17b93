package wechatsim_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

const (
	appid  = "wx0123456789abcdef"
	secret = "0123456789abcdef0123456789abcdef"
)

// pipes is a listener whose connections are in memory, so that it works in a
// synctest bubble.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.conns <- server:
		return client, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error { p.once.Do(func() { close(p.closed) }); return nil }

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes", Net: "unix"} }

// wechat is a simulator with a client that talks to it.
type wechat struct {
	*wechatsim.Sim
	t      *testing.T
	base   string
	client *http.Client
}

// inMemory starts a simulator with one account over connections in memory.
func inMemory(t *testing.T, settings wechatsim.Settings) *wechat {
	t.Helper()
	return inMemoryWith(t, wechatsim.Config{
		Accounts: []wechatsim.Account{{AppID: appid, Secret: secret}},
		Settings: settings,
	})
}

func inMemoryWith(t *testing.T, config wechatsim.Config) *wechat {
	t.Helper()
	sim := wechatsim.New(config)
	l := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: sim, ReadHeaderTimeout: time.Minute}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	transport := &http.Transport{DialContext: l.dial, DisableKeepAlives: true}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serve: %v", err)
		}
	})
	return &wechat{sim, t, "http://api.weixin.qq.com", &http.Client{Transport: transport}}
}

// reply is any answer of WeChat's.
type reply struct {
	Code      int         `json:"errcode"`
	Message   string      `json:"errmsg"`
	Token     string      `json:"access_token"`
	Ticket    string      `json:"ticket"`
	ExpiresIn json.Number `json:"expires_in"`
	IPs       []string    `json:"ip_list"`
	MessageID int64       `json:"msgid"`
	MediaType string      `json:"type"`
	MediaID   string      `json:"media_id"`
	CreatedAt int64       `json:"created_at"`
	VideoURL  string      `json:"video_url"`
	Refresh   string      `json:"refresh_token"`
	OpenID    string      `json:"openid"`
	Scope     string      `json:"scope"`
	UnionID   string      `json:"unionid"`
	Snapshot  int         `json:"is_snapshotuser"`
	Quota     struct {
		Limit  int `json:"daily_limit"`
		Used   int `json:"used"`
		Remain int `json:"remain"`
	} `json:"quota"`
}

// do sends a request and reads a JSON answer with status 200.
func (w *wechat) do(method, path, body string) reply {
	w.t.Helper()
	res, err := w.send(method, path, body)
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		w.t.Fatalf("%s %s: status %d", method, path, res.StatusCode)
	}
	if got, want := res.Header.Get("Content-Type"), "application/json; encoding=utf-8"; got != want {
		w.t.Errorf("%s %s: content type %q, want %q", method, path, got, want)
	}
	var r reply
	if err := json.NewDecoder(res.Body).Decode(&r); err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	return r
}

func (w *wechat) send(method, path, body string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.base+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	return w.client.Do(req)
}

// exchange sends a request and reads the whole answer, whatever it is.
func (w *wechat) exchange(method, path, body string) (status int, header http.Header, text string, err error) {
	res, err := w.send(method, path, body)
	if err != nil {
		return 0, nil, "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return res.StatusCode, res.Header, string(b), err
}

// handle calls the simulator without a connection, for tests that call it often.
func (w *wechat) handle(method, path, body string) *httptest.ResponseRecorder {
	answer := httptest.NewRecorder()
	w.ServeHTTP(answer, httptest.NewRequest(method, path, strings.NewReader(body)))
	return answer
}

func classicPath(appid, secret string) string {
	return wechatsim.PathToken + "?" + url.Values{
		"grant_type": {"client_credential"}, "appid": {appid}, "secret": {secret},
	}.Encode()
}

func stableBody(force bool) string {
	b, _ := json.Marshal(map[string]any{
		"grant_type": "client_credential", "appid": appid, "secret": secret, "force_refresh": force,
	})
	return string(b)
}

func (w *wechat) classic() reply {
	w.t.Helper()
	return w.do("GET", classicPath(appid, secret), "")
}

func (w *wechat) stable(force bool) reply {
	w.t.Helper()
	return w.do("POST", wechatsim.PathStableToken, stableBody(force))
}

func (w *wechat) ticket(token, kind string) reply {
	w.t.Helper()
	return w.do("GET", wechatsim.PathTicket+"?type="+kind+"&access_token="+token, "")
}

// probe uses a token as an application does, and returns the code.
func (w *wechat) probe(token string) int {
	w.t.Helper()
	r := w.do("GET", wechatsim.PathDomainIP+"?access_token="+token, "")
	if r.Code == 0 && len(r.IPs) == 0 {
		w.t.Error("no addresses in a good answer")
	}
	if alive := w.TokenAlive(token); alive != (r.Code == 0) {
		w.t.Errorf("TokenAlive says %t, the API %d", alive, r.Code)
	}
	return r.Code
}

// granted fails the test unless the answer is a token or ticket, and returns it.
func (w *wechat) granted(r reply) string {
	w.t.Helper()
	if r.Code != 0 || r.Token+r.Ticket == "" {
		w.t.Fatalf("refused: %d %s", r.Code, r.Message)
	}
	return r.Token + r.Ticket
}
