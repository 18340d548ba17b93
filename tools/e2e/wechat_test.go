package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/wxbroker/wxbroker/pkg/tlstest"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

// proxy is the only way out of a company. It tunnels every connection to the same WeChat,
// and notes the address that was asked for.
type proxy struct {
	wechat string

	mu    sync.Mutex
	asked map[string]bool
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.asked[r.Method+" "+r.Host] = true
	p.mu.Unlock()
	upstream, err := new(net.Dialer).DialContext(r.Context(), "tcp", p.wechat)
	if r.Method != http.MethodConnect || err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer upstream.Close()
	w.WriteHeader(http.StatusOK)
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	go func() {
		_, _ = io.Copy(upstream, buffered)
		_ = upstream.Close()
	}()
	_, _ = io.Copy(conn, upstream)
}

func (p *proxy) targets() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(slices.Sorted(maps.Keys(p.asked)), ", ")
}

// TestWeChatBehindAProxy: the only way out is a proxy, and the hosts behind it have
// certificates of the company's own CA. The broker reaches WeChat's real hosts by
// HTTPS_PROXY and upstream_ca_file, for itself and for apps. With that file the system's
// CAs are trusted too.
func TestWeChatBehindAProxy(t *testing.T) {
	for _, tt := range []struct {
		name                string
		inFile, inTheSystem bool // where the CA is known
		says                string
	}{
		{"whose CA is known", true, false, `msg=rotated .*kind=jsapi_ticket`},
		{"whose CA the system knows", false, true, `msg=rotated .*kind=jsapi_ticket`},
		{"whose CA is not known", false, false, `"WeChat call failed".*certificate signed by unknown authority`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir, ours, other := t.TempDir(), tlstest.NewCA(t, "ours"), tlstest.NewCA(t, "other")
			sim := wechatsim.New(wechatsim.Config{Accounts: []wechatsim.Account{{AppID: appid, Secret: secret}}})
			way := &proxy{wechat: serveWeChat(t, sim, ours), asked: map[string]bool{}}
			out := httptest.NewServer(way)
			defer out.Close()
			t.Setenv("HTTPS_PROXY", out.URL)
			for _, name := range []string{"https_proxy", "NO_PROXY", "no_proxy"} {
				t.Setenv(name, "")
			}
			known := tt.inFile || tt.inTheSystem
			if tt.inTheSystem {
				t.Setenv("SSL_CERT_FILE", ours.Write(t, t.TempDir()))
			}
			trusted := other
			if tt.inFile {
				trusted = ours
			}
			path := filepath.Join(dir, "wxbroker.yaml")
			config := fmt.Sprintf("data: %q\nlisten: {grpc: '127.0.0.1:0', ops: '127.0.0.1:0'}\naccounts: [{appid: %s, secret_file: %q}]\nupstream_ca_file: %q\n",
				filepath.Join(dir, "wxbroker.db"), appid, filepath.Join(dir, "secret"), trusted.Write(t, dir))
			for name, content := range map[string]string{path: config, filepath.Join(dir, "secret"): secret, filepath.Join(dir, "keys"): "shop " + callingKey} {
				must(t, os.WriteFile(name, []byte(content), 0o600))
			}
			broker := start(t, "wxbroker", "serve", "--config", path)
			address := broker.says(t, `"broker is up" grpc=(\S+)`)[1]
			// The first line about WeChat, whichever it is, so that the test does not wait in
			// vain.
			if got := broker.says(t, `msg=rotated .*kind=jsapi_ticket|"WeChat call failed".*`)[0]; !regexp.MustCompile(tt.says).MatchString(got) {
				t.Fatalf("the broker says %s, want %s", got, tt.says)
			}
			if known {
				edge := start(t, "wxedge", "serve", "--broker", address, "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "--local-key-file", filepath.Join(dir, "keys"))
				app := callWorld{client: http.DefaultClient, listen: edge.says(t, `"edge is up" listen=(\S+)`)[1]}
				edge.says(t, `holding .*kind=jsapi_ticket`)
				for _, call := range []struct{ method, path, body string }{
					{http.MethodGet, wechatsim.PathUserInfo + "?openid=o1", ""},
					{http.MethodPost, wechatsim.PathTemplateSend, `{"touser":"o1","template_id":"t1","data":{"a":{"value":"b"}}}`},
				} {
					response, err := app.do(t.Context(), call.method, call.path, call.body)
					must(t, err)
					answer, err := io.ReadAll(response.Body)
					_ = response.Body.Close()
					path, _, _ := strings.Cut(call.path, "?")
					if n := sim.Count(wechatsim.Call{AppID: appid, API: path, Outcome: "ok"}); n != 1 {
						t.Errorf("%s took effect %d times: HTTP %d %s, %v", call.path, n, response.StatusCode, answer, err)
					}
				}
			}
			if got, want := way.targets(), "CONNECT api.weixin.qq.com:443"; !strings.HasPrefix(got, want) {
				t.Errorf("the proxy was asked for %q, want %q", got, want)
			}
		})
	}
}

// TestAClusterBehindAProxy: the broker reads the cluster's keys through the proxy too,
// unless NO_PROXY has the cluster's host.
func TestAClusterBehindAProxy(t *testing.T) {
	for _, tt := range []struct {
		noProxy string
		asked   bool
	}{{"", true}, {"cluster.invalid", false}} {
		t.Run("NO_PROXY="+tt.noProxy, func(t *testing.T) {
			dir := t.TempDir()
			sim := wechatsim.New(wechatsim.Config{Accounts: []wechatsim.Account{{AppID: appid, Secret: secret}}})
			way := &proxy{wechat: serveWeChat(t, sim, tlstest.NewCA(t, "ours")), asked: map[string]bool{}}
			out := httptest.NewServer(way)
			defer out.Close()
			for name, value := range map[string]string{"HTTPS_PROXY": out.URL, "https_proxy": "", "NO_PROXY": tt.noProxy, "no_proxy": ""} {
				t.Setenv(name, value)
			}
			path := filepath.Join(dir, "wxbroker.yaml")
			config := fmt.Sprintf("data: %q\nlisten: {grpc: '127.0.0.1:0', ops: '127.0.0.1:0'}\naccounts: [{appid: %s, secret_file: %q}]\n"+
				"kubernetes: {issuer: a-cluster, discovery_url: 'https://cluster.invalid'}\napps: [{name: shop, identities: ['k8s:shop:web'], accounts: [%s], grants: [sign]}]\n",
				filepath.Join(dir, "wxbroker.db"), appid, filepath.Join(dir, "secret"), appid)
			for name, content := range map[string]string{path: config, filepath.Join(dir, "secret"): secret} {
				must(t, os.WriteFile(name, []byte(content), 0o600))
			}
			broker := start(t, "wxbroker", "serve", "--config", path)
			broker.says(t, "Kubernetes tokens cannot be verified yet") // nobody there has a certificate of the cluster's
			if got := strings.Contains(way.targets(), "CONNECT cluster.invalid:443"); got != tt.asked {
				t.Errorf("the proxy was asked for the cluster: %v, want %v", got, tt.asked)
			}
		})
	}
}

// serveWeChat serves sim with certificates of ca for WeChat's hosts, and returns its
// address.
func serveWeChat(t *testing.T, sim *wechatsim.Sim, ca *tlstest.CA) string {
	t.Helper()
	pair := ca.Issue(t, func(c *x509.Certificate) { c.DNSNames = []string{"api.weixin.qq.com", "api2.weixin.qq.com"} })
	certificate, err := tls.X509KeyPair(pair.Cert, pair.Key)
	must(t, err)
	server := httptest.NewUnstartedServer(sim)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}
