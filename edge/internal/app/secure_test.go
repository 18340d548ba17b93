package app

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/tlsfile"
	"github.com/wxbroker/wxbroker/pkg/tlstest"
	"github.com/wxbroker/wxbroker/pkg/uplink"
)

// followed is long enough for files that changed to be in use.
const followed = 5 * time.Second

// pass lets time pass, and waits until everything that was due has happened.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// overTLS runs a test with a broker that speaks TLS, and a CA of its own.
func overTLS(t *testing.T, test func(t *testing.T, b *fakeBroker, ca *tlstest.CA)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ca := tlstest.NewCA(t, "ours")
		dir := t.TempDir()
		cert, key := ca.Issue(t).Write(t, dir)
		source, _, err := tlsfile.Load(t.Context(), tlsfile.Files{Cert: cert, Key: key, CA: ca.Write(t, dir)})
		if err != nil {
			t.Fatal(err)
		}
		config, err := source.Server()
		if err != nil {
			t.Fatal(err)
		}
		test(t, startBroker(t, grpc.Creds(credentials.NewTLS(config))), ca)
	})
}

// The stream and reports both say who the edge is, each time by the files as they are
// then.
func TestIdentityFollowsTheFiles(t *testing.T) {
	overTLS(t, func(t *testing.T, b *fakeBroker, ca *tlstest.CA) {
		dir := t.TempDir()
		token, keys := filepath.Join(dir, "token"), filepath.Join(dir, "keys")
		write(t, token, "first")
		write(t, keys, "billing k")
		first, second := ca.Issue(t), ca.Issue(t)
		cert, key := first.Write(t, dir)
		e := startCommand(t, b, serveCommand{
			Broker: "broker.example.com:7600", LocalKeyFile: keys,
			Flags: uplink.Flags{CAFile: ca.Write(t, dir), CertFile: cert, KeyFile: key, TokenFile: token},
		})
		account := b.account(shop)
		b.say(account)
		e.signsWith("", 1)
		b.reported.Store(&reportAnswer{versions: credential.Versions{Reported: 1, Current: 1}})
		is := func(want caller) {
			t.Helper()
			if got := b.called(); got != want {
				t.Errorf("the broker was called by %+v, want %+v", got, want)
			}
		}
		is(caller{"Bearer first", first.Serial(), ""})
		e.report("refused")
		is(caller{"Bearer first", first.Serial(), "billing"})

		write(t, token, "second") // counts from the next call on
		e.report("refused-again")
		is(caller{"Bearer second", first.Serial(), "billing"})
		second.Write(t, dir) // counts from the next connection on
		pass(followed)
		b.end(nil)
		b.say(account)
		is(caller{"Bearer second", second.Serial(), ""})
		e.signsWith("", 1)

		metrics := fmt.Sprintf("wxedge_tls_certificate_expiry_timestamp_seconds{use=\"broker\"} %v\n", float64(second.Leaf.NotAfter.Unix()))
		if _, body := e.get(e.ops, "/metrics", ""); !strings.Contains(body, metrics) || !strings.Contains(body, `wxedge_tls_ca_expiry_timestamp_seconds{use="broker"} `) {
			t.Errorf("the metrics do not say %s", metrics)
		}
		if log := e.log.String(); !strings.Contains(log, "broker_tls=true listen_tls=false") || strings.Contains(log, "Bearer") {
			t.Errorf("logged:\n%s", log)
		}
	})
}

// While the token cannot be read the edge keeps what it has. It connects again once
// the token is back.
func TestTokenThatIsGone(t *testing.T) {
	overTLS(t, func(t *testing.T, b *fakeBroker, ca *tlstest.CA) {
		dir := t.TempDir()
		token := filepath.Join(dir, "token")
		write(t, token, "first")
		e := startCommand(t, b, serveCommand{
			Broker: "192.0.2.1:7600", Flags: uplink.Flags{CAFile: ca.Write(t, dir), TokenFile: token},
		})
		b.say(b.account(shop))
		write(t, token, "")
		b.end(status.Error(codes.Unavailable, "restarting"))
		pass(time.Minute)
		e.ready(200, "")
		e.signsWith("", 1)
		if log := e.log.String(); !strings.Contains(log, token+": the file is empty") {
			t.Errorf("the log does not say why:\n%s", log)
		}
		write(t, token, "second")
		b.say(b.rotate(shop))
		e.signsWith("", 2)
		if got := b.called(); got.token != "Bearer second" || got.serial != "" {
			t.Errorf("the broker was called by %+v", got)
		}
	})
}

// A broker whose certificate another CA has issued is not listened to.
func TestBrokerOfAnotherCA(t *testing.T) {
	overTLS(t, func(t *testing.T, b *fakeBroker, _ *tlstest.CA) {
		e := startCommand(t, b, serveCommand{
			Broker: "192.0.2.1:7600", Flags: uplink.Flags{CAFile: tlstest.NewCA(t, "another").Write(t, t.TempDir())},
		})
		pass(time.Minute)
		e.ready(503, "the broker has not sent any account")
		if n := strings.Count(e.log.String(), "none of the CAs in --ca-file signed the broker's certificate"); n != 1 {
			t.Errorf("the log says so %d times:\n%s", n, e.log)
		}
	})
}

// The local keys and their names may change while the edge runs.
func TestLocalKeysFollowTheirFile(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fakeBroker) {
		keys := filepath.Join(t.TempDir(), "keys")
		write(t, keys, "billing k")
		e := startCommand(t, b, serveCommand{LocalKeyFile: keys})
		b.say(b.account(shop))
		unlocks := func(billing, reports int) {
			t.Helper()
			for key, want := range map[string]int{"k": billing, "l": reports} {
				if code, _ := e.get(e.api, "/token", "Bearer "+key); code != want {
					t.Errorf("HTTP %d with the key %s, want %d", code, key, want)
				}
			}
		}
		unlocks(200, 401)
		write(t, keys, "billing k\nreports l\n")
		pass(followed)
		unlocks(200, 200)
		write(t, keys, "reports l\n")
		pass(followed)
		unlocks(401, 200)
		write(t, keys, "# none\n")
		pass(time.Minute)
		unlocks(403, 403)
		if _, body := e.get(e.api, "/token", "Bearer l"); !strings.Contains(body, "this edge has no local key") {
			t.Errorf("without a key: %s", body)
		}
		if log := e.log.String(); !strings.Contains(log, "holds no key any more") {
			t.Errorf("the log does not say so:\n%s", log)
		}
	})
}

// The edge's own listener speaks TLS with the certificate that its files hold.
func TestListenOverTLS(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fakeBroker) {
		ca := tlstest.NewCA(t, "ours")
		dir := t.TempDir()
		first, second := ca.Issue(t), ca.Issue(t)
		cert, key := first.Write(t, dir)
		e := startCommand(t, b, serveCommand{listenFlags: listenFlags{ListenCertFile: cert, ListenKeyFile: key}})
		b.say(b.account(shop))
		trusts := x509.NewCertPool()
		trusts.AddCert(ca.Cert)
		ask := func(want tlstest.Pair, protocol int) {
			t.Helper()
			transport := client(e.apiConn).Transport.(*http.Transport)
			transport.TLSClientConfig = &tls.Config{RootCAs: trusts, ServerName: tlstest.DNSName}
			transport.ForceAttemptHTTP2 = protocol == 2
			response, err := (&http.Client{Transport: transport}).Get("https://edge/nonce")
			if err != nil {
				t.Fatal(err)
			}
			defer transport.CloseIdleConnections()
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			if err != nil || response.StatusCode != http.StatusOK || !strings.Contains(string(body), "nonce_str") {
				t.Errorf("HTTP %d: %s, %v", response.StatusCode, body, err)
			}
			if response.ProtoMajor != protocol || response.TLS.Version != tls.VersionTLS13 {
				t.Errorf("spoke %s over %s", response.Proto, tls.VersionName(response.TLS.Version))
			}
			if got := (tlstest.Pair{Leaf: response.TLS.PeerCertificates[0]}).Serial(); got != want.Serial() {
				t.Errorf("was shown %s, want %s", got, want.Serial())
			}
		}
		ask(first, 2)
		ask(first, 1)
		second.Write(t, dir)
		pass(followed)
		ask(second, 2)

		line := fmt.Sprintf("wxedge_tls_certificate_expiry_timestamp_seconds{use=\"listen\"} %v\n", float64(second.Leaf.NotAfter.Unix()))
		if _, body := e.get(e.ops, "/metrics", ""); !strings.Contains(body, line) || strings.Contains(body, "wxedge_tls_ca_expiry") {
			t.Errorf("the metrics do not say %s", line)
		}
	})
}
