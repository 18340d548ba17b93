package tlsfile

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/test/bufconn"

	"github.com/wxbroker/wxbroker/pkg/tlstest"
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

// dial connects, and asks something: a refused client learns of that only when it
// reads.
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
	// A server that refuses us may have closed already. Reading tells why.
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

// refused checks the error of a connection. With says "" the connection must work.
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

// TestClientChecksTheServer for everything that may be wrong with it.
func TestClientChecksTheServer(t *testing.T) {
	ours, foreign := tlstest.NewCA(t, "ours"), tlstest.NewCA(t, "foreign")
	between := ours.Intermediate(t)
	chained := between.Issue(t)
	full := chained
	full.Cert = append(append([]byte(nil), chained.Cert...), between.PEM...)
	notCA := ours.Issue(t)
	fake := &tlstest.CA{Cert: notCA.Leaf, Key: mustKey(t, notCA.Key), PEM: notCA.Cert}
	byLeaf := fake.Issue(t)
	byLeaf.Cert = append(append([]byte(nil), byLeaf.Cert...), notCA.Cert...)

	const dns = "broker.example.com"
	for _, tt := range []struct {
		name       string
		server     tlstest.Pair
		serverName string
		says       string
	}{
		{"the name", ours.Issue(t), dns, ""},
		{"the name in capitals", ours.Issue(t), "BROKER.example.com", ""},
		{"the name with the root's dot", ours.Issue(t), dns + ".", ""},
		{"a wildcard", ours.Issue(t, func(c *x509.Certificate) { c.DNSNames = []string{"*.example.com"} }), dns, ""},
		{"an IPv4 address", ours.Issue(t), "192.0.2.1", ""},
		{"an IPv6 address", ours.Issue(t), "2001:db8::1", ""},
		{"an intermediate", full, dns, ""},
		{"no key usages at all", ours.Issue(t, usable()), dns, ""},

		{"another name", ours.Issue(t), "edge.example.com", "not edge.example.com"},
		{"a name below", ours.Issue(t), "a." + dns, "not a." + dns},
		{"another IPv4 address", ours.Issue(t), "192.0.2.2", "not 192.0.2.2"},
		{"another IPv6 address", ours.Issue(t), "2001:db8::2", "not 2001:db8::2"},
		{"no name", ours.Issue(t), "", "no name"},
		{"the subject is no name", ours.Issue(t, func(c *x509.Certificate) {
			c.Subject.CommonName, c.DNSNames, c.IPAddresses = dns, nil, nil
		}), dns, "not valid for any names"},
		{"another CA", foreign.Issue(t), dns, "unknown authority"},
		{"another CA of the same name", tlstest.NewCA(t, "ours").Issue(t), dns, "unknown authority"},
		{"a missing intermediate", chained, dns, "unknown authority"},
		{"one that is no CA", byLeaf, dns, "cannot sign this kind"},
		{"self-signed", tlstest.SelfSigned(t), dns, "unknown authority"},
		{"an expired one", ours.Issue(t, expired), dns, "has expired"},
		{"one from the future", ours.Issue(t, func(c *x509.Certificate) {
			c.NotBefore = time.Now().Add(time.Hour)
		}), dns, "not yet valid"},
		{"a client's", ours.Issue(t, usable(x509.ExtKeyUsageClientAuth)), dns, "incompatible key usage"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server, _, err := Load(t.Context(), lay(t, tt.server))
			if err != nil {
				t.Fatal(err)
			}
			client := load(t, lay(t, tlstest.Pair{}, ours))
			_, err = serve(t, server.mustServer(t)).dial(t, client.Client(tt.serverName))
			refused(t, err, tt.says)
		})
	}
}

// TestServerChecksTheClient for everything that may be wrong with it, at the handshake and
// while the connection is open.
func TestServerChecksTheClient(t *testing.T) {
	ours, foreign := tlstest.NewCA(t, "ours"), tlstest.NewCA(t, "foreign")
	between := ours.Intermediate(t)
	chained := between.Issue(t)
	full := chained
	full.Cert = append(append([]byte(nil), chained.Cert...), between.PEM...)
	source := load(t, lay(t, ours.Issue(t), ours))
	for _, tt := range []struct {
		name   string
		client tlstest.Pair
		says   string
		later  string // what VerifyClient says
	}{
		{"ours", ours.Issue(t, usable(x509.ExtKeyUsageClientAuth)), "", ""},
		{"no key usages at all", ours.Issue(t, usable()), "", ""},
		{"an intermediate", full, "", ""},
		{"no certificate", tlstest.Pair{}, "", "presented no certificate"}, // who serves decides about it
		{"another CA", foreign.Issue(t), "unknown certificate authority", "unknown authority"},
		{"a missing intermediate", chained, "unknown certificate authority", "unknown authority"},
		{"self-signed", tlstest.SelfSigned(t), "unknown certificate authority", "unknown authority"},
		{"an expired one", ours.Issue(t, expired), "expired certificate", "has expired"},
		{"a server's", ours.Issue(t, usable(x509.ExtKeyUsageServerAuth)), "bad certificate", "incompatible key usage"},
		{"a signer's", ours.Issue(t, usable(x509.ExtKeyUsageCodeSigning)), "bad certificate", "incompatible key usage"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client, _, err := Load(t.Context(), lay(t, tt.client, ours))
			if err != nil {
				t.Fatal(err)
			}
			_, err = serve(t, source.mustServer(t)).dial(t, client.Client("192.0.2.1"))
			refused(t, err, tt.says)
			var presented []*x509.Certificate
			if tt.client.Cert != nil {
				if presented, err = certificates(tt.client.Cert); err != nil {
					t.Fatal(err)
				}
			}
			refused(t, source.VerifyClient(presented), tt.later)
		})
	}
	t.Run("a server that asks for no certificate gets none", func(t *testing.T) {
		open := load(t, lay(t, ours.Issue(t)))
		client := load(t, lay(t, tlstest.Pair{}, ours))
		_, err := serve(t, open.mustServer(t)).dial(t, client.Client("192.0.2.1"))
		refused(t, err, "")
	})
}

// TestServerSeesVerifiedChains: gRPC and others see the chain that crypto/tls has
// verified, not only what the client presented. For a client that presented nothing
// they see none.
func TestServerSeesVerifiedChains(t *testing.T) {
	ours := tlstest.NewCA(t, "ours")
	source := load(t, lay(t, ours.Issue(t), ours))
	for _, tt := range []struct {
		name   string
		client *Source
		names  []string // in the chain
	}{
		{"a certificate", source, []string{"CN=wxbroker", "CN=ours"}},
		{"none", load(t, lay(t, tlstest.Pair{}, ours)), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
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
			conn := tls.Client(raw, tt.client.Client("broker.example.com"))
			defer conn.Close()
			if err := conn.Handshake(); err != nil {
				t.Fatal(err)
			}
			state := <-states
			var names []string
			for _, chain := range state.VerifiedChains {
				for _, cert := range chain {
					names = append(names, cert.Subject.String())
				}
			}
			if !slices.Equal(names, tt.names) || !state.HandshakeComplete || (len(state.PeerCertificates) == 0) != (tt.names == nil) {
				t.Errorf("verified %q, presented %d", names, len(state.PeerCertificates))
			}
		})
	}
}

func TestOldVersionsAreRefused(t *testing.T) {
	ours := tlstest.NewCA(t, "ours")
	source := load(t, lay(t, ours.Issue(t)))
	client := load(t, lay(t, tlstest.Pair{}, ours)).Client("192.0.2.1")
	client.MinVersion, client.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	_, err := serve(t, source.mustServer(t)).dial(t, client)
	refused(t, err, "protocol version")

	old := source.handshake(nil)
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	_, err = serve(t, old).dial(t, load(t, lay(t, tlstest.Pair{}, ours)).Client("192.0.2.1"))
	refused(t, err, "protocol version")
}

// TestNoSessionIsResumed, neither with our server and a client that would, nor with our
// client and a server that would.
func TestNoSessionIsResumed(t *testing.T) {
	ours := tlstest.NewCA(t, "ours")
	source := load(t, lay(t, ours.Issue(t), ours))
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

// TestSystemCAs: a client without a CA file trusts the system's CAs, and ours is not
// among them.
func TestSystemCAs(t *testing.T) {
	source := load(t, lay(t, tlstest.NewCA(t, "ours").Issue(t)))
	_, err := serve(t, source.mustServer(t)).dial(t, load(t, Files{}).Client("192.0.2.1"))
	refused(t, err, "unknown authority")
}

func TestServerNeedsACertificate(t *testing.T) {
	if _, err := load(t, lay(t, tlstest.Pair{}, tlstest.NewCA(t, "ours"))).Server(); err == nil {
		t.Error("a server without a certificate")
	}
}

// TestHandshakesReadNoFile, neither at the server nor at the client.
func TestHandshakesReadNoFile(t *testing.T) {
	ours := tlstest.NewCA(t, "ours")
	files := lay(t, ours.Issue(t), ours)
	source := load(t, files)
	for _, path := range []string{files.Cert, files.Key, files.CA} {
		write(t, path, nil)
	}
	_, err := serve(t, source.mustServer(t)).dial(t, source.Client("192.0.2.1"))
	refused(t, err, "")
}
