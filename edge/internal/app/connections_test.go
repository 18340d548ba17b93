package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/wxbroker/wxbroker/pkg/tlstest"
)

// A client that holds all the connections of the edge, in silence, keeps nobody out.
// The same over TLS.
func TestFullListener(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(map[bool]string{false: "plain text", true: "TLS"}[secure], func(t *testing.T) {
			flags := listenFlags{Listen: "127.0.0.1:0", OpsListen: "127.0.0.1:0", MaxConnections: 3}
			scheme, roots := "http://", x509.NewCertPool()
			if secure {
				ca := tlstest.NewCA(t, "ours")
				roots.AddCert(ca.Cert)
				scheme = "https://"
				flags.ListenCertFile, flags.ListenKeyFile = ca.Issue(t).Write(t, t.TempDir())
			}
			listening, opsAddress := startListening(t, flags)
			var silent []net.Conn
			for range 3 {
				conn, err := net.Dial("tcp", listening)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = conn.Close() })
				silent = append(silent, conn)
			}
			transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true, ForceAttemptHTTP2: true}
			get := func(url string) string {
				t.Helper()
				response, err := (&http.Client{Transport: transport}).Get(url)
				if err != nil {
					t.Fatal(err)
				}
				defer response.Body.Close()
				body, err := io.ReadAll(response.Body)
				if err != nil || response.StatusCode != http.StatusOK {
					t.Errorf("%s: HTTP %d, %v", url, response.StatusCode, err)
				}
				return string(body)
			}
			if got := get(scheme + listening + "/nonce"); !strings.Contains(got, "nonce_str") {
				t.Errorf("answered %s", got)
			}
			// The oldest of the silent connections made room.
			if n, err := silent[0].Read(make([]byte, 1)); n != 0 || err == nil {
				t.Errorf("the oldest is open: %d, %v", n, err)
			}
			metrics := get("http://" + opsAddress + "/metrics")
			for _, line := range []string{
				`wxedge_connections_limit{listener="listen"} 3`,
				`wxedge_connections_limit{listener="ops"} 100`,
				`wxedge_connections_evicted_total{listener="listen"} 1`,
				`wxedge_connections{listener="ops"} 1`,
			} {
				if !strings.Contains(metrics, line+"\n") {
					t.Errorf("the metrics do not say %s", line)
				}
			}
		})
	}
}

// startListening starts an edge on real addresses. Its broker is not there.
func startListening(t *testing.T, flags listenFlags) (api, ops string) {
	t.Helper()
	c := serveCommand{Broker: "127.0.0.1:1", listenFlags: flags}
	config, err := c.configure(t.Context(), "v1.2.3", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.listen(t.Context(), &config); err != nil {
		t.Fatal(err)
	}
	edge, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- edge.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return config.Listen.Addr().String(), config.Ops.Addr().String()
}
