package tlsfile

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/test/bufconn"
)

// site is a TLS server that echoes what it is sent.
type site struct{ listener *bufconn.Listener }

func serve(t *testing.T, config *tls.Config) site {
	t.Helper()
	s := site{bufconn.Listen(64 << 10)}
	t.Cleanup(func() { _ = s.listener.Close() })
	go func() {
		for {
			raw, err := s.listener.Accept()
			if err != nil {
				return
			}
			go func() {
				conn := tls.Server(raw, config)
				defer conn.Close()
				_, _ = io.Copy(conn, conn)
			}()
		}
	}()
	return s
}

func (s *Source) mustServer(t testing.TB, protocols ...string) *tls.Config {
	t.Helper()
	config, err := s.Server(protocols...)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// dial connects, and asks something: a client that is refused learns it only
// when it reads.
func (s site) dial(t *testing.T, config *tls.Config) (*tls.Conn, error) {
	t.Helper()
	raw, err := s.listener.DialContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	conn := tls.Client(raw, config)
	t.Cleanup(func() { _ = conn.Close() })
	return conn, ask(conn)
}

func ask(conn *tls.Conn) error {
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return err
	}
	// Who refuses us may have closed already. Reading tells why.
	_, _ = conn.Write([]byte("?"))
	answer := make([]byte, 1)
	if _, err := io.ReadFull(conn, answer); err != nil {
		return err
	}
	if string(answer) != "?" {
		return errors.New("another answer: " + string(answer))
	}
	return nil
}

// refused checks why nothing came of a connection; says "" means it must work.
func refused(t *testing.T, err error, says string) {
	t.Helper()
	switch {
	case says == "" && err != nil:
		t.Errorf("refused: %v", err)
	case says != "" && err == nil:
		t.Errorf("accepted, want %q", says)
	case says != "" && !strings.Contains(err.Error(), says):
		t.Errorf("got %v, want %q", err, says)
	}
}

func expired(c *x509.Certificate) {
	c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
}

func usable(usages ...x509.ExtKeyUsage) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.ExtKeyUsage = usages }
}

// TestClientHoldsTheServerAgainst: everything that may be wrong with a server.
func TestClientHoldsTheServerAgainst(t *testing.T) {
	ours, foreign := newCA(t, "ours"), newCA(t, "foreign")
	between := ours.intermediate(t)
	chained := between.issue(t)
	full := chained
	full.cert = append(append([]byte(nil), chained.cert...), between.pem...)
	notCA := ours.issue(t)
	fake := &ca{cert: notCA.leaf, key: mustKey(t, notCA.key), pem: notCA.cert}
	byLeaf := fake.issue(t)
	byLeaf.cert = append(append([]byte(nil), byLeaf.cert...), notCA.cert...)

	const dns = "broker.example.com"
	for _, tt := range []struct {
		name       string
		server     issued
		serverName string
		says       string
	}{
		{"the name", ours.issue(t), dns, ""},
		{"the name in capitals", ours.issue(t), "BROKER.example.com", ""},
		{"the name with the root's dot", ours.issue(t), dns + ".", ""},
		{"a wildcard", ours.issue(t, func(c *x509.Certificate) { c.DNSNames = []string{"*.example.com"} }), dns, ""},
		{"an IPv4 address", ours.issue(t), "192.0.2.1", ""},
		{"an IPv6 address", ours.issue(t), "2001:db8::1", ""},
		{"an intermediate", full, dns, ""},
		{"no key usages at all", ours.issue(t, usable()), dns, ""},

		{"another name", ours.issue(t), "edge.example.com", "not edge.example.com"},
		{"a name below", ours.issue(t), "a." + dns, "not a." + dns},
		{"another IPv4 address", ours.issue(t), "192.0.2.2", "not 192.0.2.2"},
		{"another IPv6 address", ours.issue(t), "2001:db8::2", "not 2001:db8::2"},
		{"no name", ours.issue(t), "", "no name"},
		{"the subject is no name", ours.issue(t, func(c *x509.Certificate) {
			c.Subject.CommonName, c.DNSNames, c.IPAddresses = dns, nil, nil
		}), dns, "not valid for any names"},
		{"another CA", foreign.issue(t), dns, "unknown authority"},
		{"another CA of the same name", newCA(t, "ours").issue(t), dns, "unknown authority"},
		{"a missing intermediate", chained, dns, "unknown authority"},
		{"one that is no CA", byLeaf, dns, "cannot sign this kind"},
		{"self-signed", selfSigned(t), dns, "unknown authority"},
		{"an expired one", ours.issue(t, expired), dns, "has expired"},
		{"one from the future", ours.issue(t, func(c *x509.Certificate) {
			c.NotBefore = time.Now().Add(time.Hour)
		}), dns, "not yet valid"},
		{"a client's", ours.issue(t, usable(x509.ExtKeyUsageClientAuth)), dns, "incompatible key usage"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server, _, err := Load(lay(t, tt.server))
			if err != nil {
				t.Fatal(err)
			}
			client := load(t, lay(t, issued{}, ours))
			_, err = serve(t, server.mustServer(t)).dial(t, client.Client(tt.serverName))
			refused(t, err, tt.says)
		})
	}
}

// TestServerHoldsTheClientAgainst: everything that may be wrong with a client.
func TestServerHoldsTheClientAgainst(t *testing.T) {
	ours, foreign := newCA(t, "ours"), newCA(t, "foreign")
	mutual := load(t, lay(t, ours.issue(t), ours)).mustServer(t)
	for _, tt := range []struct {
		name   string
		client issued
		says   string
	}{
		{"ours", ours.issue(t, usable(x509.ExtKeyUsageClientAuth)), ""},
		{"no certificate", issued{}, "certificate required"},
		{"another CA", foreign.issue(t), "unknown certificate authority"},
		{"self-signed", selfSigned(t), "unknown certificate authority"},
		{"an expired one", ours.issue(t, expired), "expired certificate"},
		{"a server's", ours.issue(t, usable(x509.ExtKeyUsageServerAuth)), "bad certificate"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client, _, err := Load(lay(t, tt.client, ours))
			if err != nil {
				t.Fatal(err)
			}
			_, err = serve(t, mutual).dial(t, client.Client("192.0.2.1"))
			refused(t, err, tt.says)
		})
	}
	t.Run("who asks for none takes none", func(t *testing.T) {
		open := load(t, lay(t, ours.issue(t)))
		client := load(t, lay(t, issued{}, ours))
		_, err := serve(t, open.mustServer(t)).dial(t, client.Client("192.0.2.1"))
		refused(t, err, "")
	})
}

// TestServerSeesVerifiedChains: what gRPC and others read of a client is what crypto/tls
// verified, not only what was presented.
func TestServerSeesVerifiedChains(t *testing.T) {
	ours := newCA(t, "ours")
	source := load(t, lay(t, ours.issue(t), ours))
	listener := bufconn.Listen(64 << 10)
	defer listener.Close()
	states := make(chan tls.ConnectionState, 1)
	go func() {
		raw, err := listener.Accept()
		if err != nil {
			return
		}
		conn := tls.Server(raw, source.mustServer(t))
		defer conn.Close()
		_ = conn.Handshake()
		states <- conn.ConnectionState()
	}()
	raw, err := listener.Dial()
	if err != nil {
		t.Fatal(err)
	}
	conn := tls.Client(raw, source.Client("broker.example.com"))
	defer conn.Close()
	if err := conn.Handshake(); err != nil {
		t.Fatal(err)
	}
	state := <-states
	if len(state.VerifiedChains) != 1 || len(state.VerifiedChains[0]) != 2 || state.VerifiedChains[0][0].URIs[0].Host != "prod" {
		t.Errorf("verified: %v", state.VerifiedChains)
	}
}

func TestOldVersionsAreRefused(t *testing.T) {
	ours := newCA(t, "ours")
	source := load(t, lay(t, ours.issue(t)))
	client := load(t, lay(t, issued{}, ours)).Client("192.0.2.1")
	client.MinVersion, client.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	_, err := serve(t, source.mustServer(t)).dial(t, client)
	refused(t, err, "protocol version")

	old := source.handshake(nil)
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	_, err = serve(t, old).dial(t, load(t, lay(t, issued{}, ours)).Client("192.0.2.1"))
	refused(t, err, "protocol version")
}

// TestNoSessionIsResumed: neither of our server, by a client that would, nor by
// our client, of a server that would.
func TestNoSessionIsResumed(t *testing.T) {
	ours := newCA(t, "ours")
	source := load(t, lay(t, ours.issue(t), ours))
	eager := source.Client("192.0.2.1")
	eager.ClientSessionCache = tls.NewLRUClientSessionCache(8)
	generous := source.handshake(nil)
	generous.SessionTicketsDisabled = false
	for _, tt := range []struct {
		name           string
		server, client *tls.Config
		resumes        bool
	}{
		{"a client that would", source.mustServer(t), eager, false},
		{"a server that would", generous, source.Client("192.0.2.1"), false},
		{"both, for comparison", generous, eager, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, tt.server)
			for i := range 3 {
				conn, err := s.dial(t, tt.client)
				refused(t, err, "")
				if resumed := conn.ConnectionState().DidResume; resumed != (tt.resumes && i > 0) {
					t.Errorf("connection %d resumed: %v", i, resumed)
				}
			}
		})
	}
}

// TestSystemCAs: a client without a CA file trusts the system's, which know
// nothing of ours.
func TestSystemCAs(t *testing.T) {
	source := load(t, lay(t, newCA(t, "ours").issue(t)))
	_, err := serve(t, source.mustServer(t)).dial(t, load(t, Files{}).Client("192.0.2.1"))
	refused(t, err, "unknown authority")
}

func TestServerNeedsACertificate(t *testing.T) {
	if _, err := load(t, lay(t, issued{}, newCA(t, "ours"))).Server(); err == nil {
		t.Error("a server without a certificate")
	}
}

// TestHandshakesReadNoFile, nor does the client need them.
func TestHandshakesReadNoFile(t *testing.T) {
	ours := newCA(t, "ours")
	files := lay(t, ours.issue(t), ours)
	source := load(t, files)
	for _, path := range []string{files.Cert, files.Key, files.CA} {
		write(t, path, nil)
	}
	_, err := serve(t, source.mustServer(t)).dial(t, source.Client("192.0.2.1"))
	refused(t, err, "")
}
