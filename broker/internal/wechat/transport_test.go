package wechat_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/tlstest"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

// calls are one of each kind that a client makes: the broker's own and those
// for apps.
var calls = []struct {
	name, path string
	call       func(context.Context, *wechat.Client, credential.Secret) error
}{
	{"token", wechatsim.PathToken, func(ctx context.Context, c *wechat.Client, _ credential.Secret) error {
		_, err := c.Token(ctx, account)
		return err
	}},
	{"stable token", wechatsim.PathStableToken, func(ctx context.Context, c *wechat.Client, _ credential.Secret) error {
		_, err := c.StableToken(ctx, account, false)
		return err
	}},
	{"ticket", wechatsim.PathTicket, func(ctx context.Context, c *wechat.Client, token credential.Secret) error {
		_, err := c.Ticket(ctx, account, token, credential.JSAPITicket)
		return err
	}},
	{"probe", wechatsim.PathDomainIP, func(ctx context.Context, c *wechat.Client, token credential.Secret) error {
		return c.Probe(ctx, account, token)
	}},
	{"quota", wechatsim.PathQuota, func(ctx context.Context, c *wechat.Client, token credential.Secret) error {
		_, err := c.Quota(ctx, account, token, wechat.TokenAPI)
		return err
	}},
	{"clearing", wechatsim.PathClearQuota, func(ctx context.Context, c *wechat.Client, _ credential.Secret) error {
		return c.ClearQuota(ctx, account)
	}},
	{"an app's GET", wechatsim.PathUserInfo, func(ctx context.Context, c *wechat.Client, token credential.Secret) error {
		return pass(ctx, c, wechat.Request{Method: http.MethodGet, Path: wechatsim.PathUserInfo, Query: "openid=o1", Secrets: []wechat.Parameter{{Name: "access_token", Value: token}}})
	}},
	{"an app's POST", wechatsim.PathTemplateSend, func(ctx context.Context, c *wechat.Client, token credential.Secret) error {
		const message = `{"touser":"o1","template_id":"t1","data":{"a":{"value":"b"}}}`
		return pass(ctx, c, wechat.Request{
			Method: http.MethodPost, Path: wechatsim.PathTemplateSend, Secrets: []wechat.Parameter{{Name: "access_token", Value: token}}, Body: strings.NewReader(message), Length: int64(len(message)),
		})
	}},
}

// pass makes an app's call; an error is what WeChat did not answer, or refused.
func pass(ctx context.Context, c *wechat.Client, r wechat.Request) error {
	r.AppID, r.API = appid, wechat.CallAPI
	answer, err := c.Pass(ctx, r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.Refusal != nil {
		return answer.Refusal
	}
	return nil
}

// TestOneCallIsOneRequest: net/http repeats a GET by itself when it is sent on a
// connection from before that turns out to be broken. Nobody would have counted
// the second call, and a second token ends the first.
func TestOneCallIsOneRequest(t *testing.T) {
	for _, tt := range calls {
		for _, kind := range []wechatsim.FaultKind{wechatsim.FaultLost, wechatsim.FaultReset} {
			t.Run(tt.name+", "+string(kind), func(t *testing.T) {
				sim, client := simulated(t)
				grant, err := client.Token(t.Context(), account)
				if err != nil {
					t.Fatal(err)
				}
				if err := tt.call(t.Context(), client, grant.Value); err != nil {
					t.Fatal(err)
				}
				before := sim.Count(wechatsim.Call{API: tt.path})
				if err := sim.Inject(wechatsim.Fault{Kind: kind, Path: tt.path}); err != nil {
					t.Fatal(err)
				}
				if err := tt.call(t.Context(), client, grant.Value); err == nil {
					t.Error("it was answered")
				}
				if n := sim.Count(wechatsim.Call{API: tt.path}) - before; n != 1 {
					t.Errorf("WeChat saw %d requests", n)
				}
			})
		}
	}
}

// TestEveryCallIsToldOf when it has ended, once and with its outcome: metrics count
// calls by it, the broker's own and those for apps.
func TestEveryCallIsToldOf(t *testing.T) {
	for _, tt := range []struct {
		name    string
		handler http.Handler
		code    wxapi.Code
		status  int
	}{
		{"refused", body(`{"errcode":45009,"errmsg":"reach max api daily quota limit"}`), wxapi.QuotaSpent, http.StatusOK},
		{"out of order", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }), 0, http.StatusBadGateway},
		{"answered", body(`{"errcode":0,"access_token":"t","ticket":"t","expires_in":7200,"quota":{"daily_limit":1,"used":0,"remain":1}}`), 0, 0},
	} {
		for _, call := range calls {
			t.Run(call.name+", "+tt.name, func(t *testing.T) {
				var told []*wechat.Error
				client := wechat.New(wechat.Options{
					Upstreams: []*url.URL{serve(t, tt.handler)},
					Done: func(id string, _ wechat.API, err *wechat.Error) {
						if id != appid {
							t.Errorf("told of a call for %q", id)
						}
						told = append(told, err)
					},
				})
				_ = call.call(t.Context(), client, credential.NewSecret("token")) // what the caller gets is tested elsewhere
				switch {
				case len(told) != 1:
					t.Fatalf("told %d times", len(told))
				case (told[0] == nil) != (tt.status == 0), told[0] != nil && (told[0].Code != tt.code || told[0].HTTPStatus != tt.status):
					t.Errorf("told %+v, want code %d and HTTP %d", told[0], tt.code, tt.status)
				}
			})
		}
	}
}

// TestCAs: those of the configuration vouch for WeChat, whoever calls, and for
// no other host.
func TestCAs(t *testing.T) {
	const host = "api.weixin.qq.com"
	ours := tlstest.NewCA(t, "ours")
	pool := x509.NewCertPool()
	pool.AddCert(ours.Cert)
	for _, tt := range []struct {
		name string
		host string // that the server's certificate is for
		cas  *x509.CertPool
		says string
	}{
		{"a CA of the configuration", host, pool, ""},
		{"a CA of nobody", host, nil, "unknown authority"},
		{"another host's certificate", "evil.example.com", pool, "not " + host},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pair := ours.Issue(t, func(c *x509.Certificate) { c.DNSNames = []string{tt.host} })
			certificate, err := tls.X509KeyPair(pair.Cert, pair.Key)
			if err != nil {
				t.Fatal(err)
			}
			sim := wechatsim.New(wechatsim.Config{Accounts: []wechatsim.Account{{AppID: appid, Secret: appSecret}}})
			server := httptest.NewUnstartedServer(sim)
			server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
			server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
			server.StartTLS()
			defer server.Close()
			client := wechat.New(wechat.Options{
				Upstreams: []*url.URL{{Scheme: "https", Host: host}}, CAs: tt.cas,
				Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
					return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
				},
			})
			token := credential.NewSecret("80_token")
			for _, call := range calls {
				if grant, err := client.Token(t.Context(), account); err == nil {
					token = grant.Value
				}
				err := call.call(t.Context(), client, token)
				if (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
					t.Errorf("%s: %v, want %q", call.name, err, tt.says)
				}
			}
		})
	}
}

// counted counts the bytes that are read of a connection.
type counted struct {
	net.Conn
	read *atomic.Int64
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.read.Add(int64(n))
	return n, err
}

// TestReadingStops at a limit: whoever answers in WeChat's place fills no
// memory, and is not listened to for ever.
func TestReadingStops(t *testing.T) {
	const much, most = 8 << 20, 128 << 10
	for _, tt := range []struct {
		name    string
		handler http.HandlerFunc
		bodies  bool // which an app may have, however large
	}{
		{"a body without an end", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"access_token":"` + strings.Repeat("t", much)))
		}, true},
		{"a body that says how large it is", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(much))
			_, _ = w.Write([]byte(strings.Repeat(" ", much)))
		}, true},
		{"headers without an end", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Much", strings.Repeat("h", much))
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			host := serve(t, tt.handler)
			var read atomic.Int64
			client := wechat.New(wechat.Options{
				Upstreams: []*url.URL{host},
				Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
					conn, err := new(net.Dialer).DialContext(ctx, network, address)
					return counted{conn, &read}, err
				},
			})
			for _, call := range calls {
				read.Store(0)
				err := call.call(t.Context(), client, credential.NewSecret("token"))
				if ofAnApp := strings.HasPrefix(call.name, "an app's"); err == nil && (!ofAnApp || !tt.bodies) {
					t.Errorf("%s: it is taken", call.name)
				}
				if n := read.Load(); n > most || n == 0 {
					t.Errorf("%s: %d bytes were read", call.name, n)
				}
			}
		})
	}
}
