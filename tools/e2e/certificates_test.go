package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/broker/brokertest"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/grpctest"
	"github.com/wxbroker/wxbroker/pkg/logtest"
	"github.com/wxbroker/wxbroker/pkg/tlsfile"
	"github.com/wxbroker/wxbroker/pkg/tlstest"
	"github.com/wxbroker/wxbroker/pkg/watch"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

// mount is a directory as kubelet mounts a Secret: its files are links into a
// directory that is swapped as a whole.
type mount struct {
	dir        string
	generation int
}

// put replaces the files by others of the same names.
func (m *mount) put(t *testing.T, files map[string][]byte) {
	t.Helper()
	m.generation++
	name := fmt.Sprintf("..%d", m.generation)
	must(t, os.Mkdir(filepath.Join(m.dir, name), 0o700))
	for file, content := range files {
		must(t, os.WriteFile(filepath.Join(m.dir, name, file), content, 0o600))
		if m.generation == 1 {
			must(t, os.Symlink(filepath.Join("..data", file), filepath.Join(m.dir, file)))
		}
	}
	must(t, os.Symlink(name, filepath.Join(m.dir, "..next")))
	must(t, os.Rename(filepath.Join(m.dir, "..next"), filepath.Join(m.dir, "..data")))
	if m.generation > 1 {
		must(t, os.RemoveAll(filepath.Join(m.dir, fmt.Sprintf("..%d", m.generation-1))))
	}
}

func (m *mount) files() tlsfile.Files {
	return tlsfile.Files{Cert: filepath.Join(m.dir, "tls.crt"), Key: filepath.Join(m.dir, "tls.key"), CA: filepath.Join(m.dir, "ca.crt")}
}

// put writes the files in place, as cert-manager's driver does.
func put(t *testing.T, files tlsfile.Files, pair tlstest.Pair, cas []byte) {
	t.Helper()
	must(t, os.WriteFile(files.Cert, pair.Cert, 0o600))
	must(t, os.WriteFile(files.Key, pair.Key, 0o600))
	must(t, os.WriteFile(files.CA, cas, 0o600))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestCertificatesAreReplaced fifty times, five times with a new CA, while there are a
// hundred live streams. The broker's are replaced as kubelet does it, the edges' in
// place. No stream is lost, and new connections use the new pairs.
func TestCertificatesAreReplaced(t *testing.T) {
	const streams, replacements = 100, 50
	synctest.Test(t, func(t *testing.T) {
		ca := tlstest.NewCA(t, "first")
		server := &mount{dir: t.TempDir()}
		server.put(t, map[string][]byte{"tls.crt": nil, "tls.key": nil, "ca.crt": nil})
		dir := t.TempDir()
		client := tlsfile.Files{Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key"), CA: filepath.Join(dir, "ca.crt")}
		var serverSerial, clientSerial string // of the current pairs
		// replace gives both sides new pairs.
		replace := func(cas []byte) {
			serverPair, clientPair := ca.Issue(t), ca.Issue(t)
			server.put(t, map[string][]byte{"tls.crt": serverPair.Cert, "tls.key": serverPair.Key, "ca.crt": cas})
			put(t, client, clientPair, cas)
			time.Sleep(5 * time.Second) // two looks at the files
			serverSerial, clientSerial = serverPair.Serial(), clientPair.Serial()
		}
		replace(ca.PEM)

		w := newWorld(t, wechatsim.Settings{}, brokertest.Account{})
		w.config.TLS = server.files()
		w.config.Apps = []brokertest.App{{Name: "web", Identities: []string{tlstest.URI}, Accounts: []string{appid}, Grants: []string{"sign"}}}
		w.startBroker(t)
		pass(time.Second)

		source, _, err := tlsfile.Load(t.Context(), client)
		must(t, err)
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { source.Run(ctx, quiet) })
		// The broker does not say which certificate a client presented. So another server
		// with the same files stands beside it, which does.
		beside, _, err := tlsfile.Load(t.Context(), server.files())
		must(t, err)
		running.Go(func() { beside.Run(ctx, quiet) })
		besides, err := beside.Server("h2")
		must(t, err)
		var dials, states atomic.Int64
		var clients []*watch.Client
		for i := range streams {
			c := watch.New(watch.Options{
				Target: "passthrough:///broker", Kinds: []credential.Kind{credential.JSAPITicket}, Name: fmt.Sprint("edge-", i),
				Clock: time.Now, Log: quiet, Apply: func([]credential.Account) { states.Add(1) },
				Dial: []grpc.DialOption{
					grpc.WithTransportCredentials(credentials.NewTLS(source.Client(tlstest.DNSName))),
					grpctest.Over(func(ctx context.Context) (net.Conn, error) {
						dials.Add(1)
						return w.dial(ctx)
					}),
				},
			})
			clients = append(clients, c)
			running.Go(func() { c.Run(ctx) })
		}
		pass(time.Second)

		config := source.Client(tlstest.DNSName)
		config.NextProtos = []string{"h2"} // gRPC wants it
		// connect makes a new connection to the broker, and returns the serial number of
		// the broker's certificate.
		connect := func() (serial string, err error) {
			raw, err := w.dial(ctx)
			if err != nil {
				return "", err
			}
			conn := tls.Client(raw, config)
			defer conn.Close()
			if err := conn.HandshakeContext(ctx); err != nil {
				return "", err
			}
			// In TLS 1.3 the client's handshake ends before the server has checked its
			// certificate. A gRPC server that accepts the client speaks first.
			if _, err := conn.Read(make([]byte, 1)); err != nil {
				return "", fmt.Errorf("what the broker says to the client: %w", err)
			}
			return conn.ConnectionState().PeerCertificates[0].SerialNumber.Text(16), nil
		}
		// present makes a connection to the server beside it, and returns the serial number
		// of the client's certificate.
		present := func() (serial string, err error) {
			near, far := net.Pipe()
			defer near.Close()
			go func() { _, _ = io.Copy(io.Discard, tls.Client(near, config)) }() // reads the server's alert as well
			conn := tls.Server(far, besides)
			defer conn.Close()
			if err := conn.HandshakeContext(ctx); err != nil {
				return "", err
			}
			chains := conn.ConnectionState().VerifiedChains
			if len(chains) == 0 {
				return "none", nil
			}
			return chains[0][0].SerialNumber.Text(16), nil
		}
		check := func(when string) {
			t.Helper()
			if n := dials.Load(); n != streams {
				t.Fatalf("%s: %d connections were made for %d streams", when, n, streams)
			}
			for _, c := range clients {
				if !c.Connected() {
					t.Fatalf("%s: a stream is lost", when)
				}
			}
			if got, err := connect(); err != nil || got != serverSerial {
				t.Errorf("%s: a new connection meets the certificate %s, not %s: %v", when, got, serverSerial, err)
			}
			if got, err := present(); err != nil || got != clientSerial {
				t.Errorf("%s: a new connection presents the certificate %s, not %s: %v", when, got, clientSerial, err)
			}
		}
		check("at first")
		for i := range replacements {
			cas := ca.PEM
			if i%10 == 9 { // first both CAs, then pairs of the new one, then the new one alone
				next := tlstest.NewCA(t, fmt.Sprint("CA ", i))
				both := append(append([]byte(nil), cas...), next.PEM...)
				replace(both)
				check(fmt.Sprint("replacement ", i, ", both CAs"))
				ca, cas = next, both
				replace(cas)
				check(fmt.Sprint("replacement ", i, ", the new CA's pairs"))
				cas = next.PEM
			}
			replace(cas)
			check(fmt.Sprint("replacement ", i))
		}
		// Every stream is alive: a rotation reaches all of them.
		before := states.Load()
		must(t, w.sim.KillTicket(appid, wechatsim.JSAPI))
		pass(11 * time.Minute)
		if n := states.Load() - before; n < streams {
			t.Errorf("%d of %d streams heard of a new ticket", n, streams)
		}
		if n := dials.Load(); n != streams {
			t.Errorf("%d connections were made for %d streams", n, streams)
		}
		stop()
		running.Wait()
	})
}

// TestWhatACertificateIsGoodFor: a certificate that its CA issued for servers proves no
// client, whatever names are in it. The audit tells of a client that presents such a
// certificate.
func TestWhatACertificateIsGoodFor(t *testing.T) {
	for _, tt := range []struct {
		name    string
		usages  []x509.ExtKeyUsage
		refused bool
	}{
		{"clients", []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, false},
		{"servers and clients", []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, false},
		{"whatever it is used for", []x509.ExtKeyUsage{x509.ExtKeyUsageAny}, false},
		{"what it does not say", nil, false},
		{"servers", []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, true},
		{"signing code", []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ca := tlstest.NewCA(t, "ours")
				dir := t.TempDir()
				cert, key := ca.Issue(t).Write(t, dir)
				w := newWorld(t, wechatsim.Settings{}, brokertest.Account{})
				w.config.TLS = tlsfile.Files{Cert: cert, Key: key, CA: ca.Write(t, dir)}
				w.config.Apps = []brokertest.App{{Name: "web", Identities: []string{tlstest.URI}, Accounts: []string{appid}, Grants: []string{"sign"}}}
				var log logtest.Log
				w.config.Log = log.Logger()
				w.startBroker(t)

				issued := ca.Issue(t, func(c *x509.Certificate) { c.ExtKeyUsage = tt.usages })
				pair, err := tls.X509KeyPair(issued.Cert, issued.Key)
				must(t, err)
				pool := x509.NewCertPool()
				pool.AddCert(ca.Cert)
				conn := grpctest.Connect(t, w.dial, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
					RootCAs: pool, ServerName: tlstest.DNSName, MinVersion: tls.VersionTLS13,
					GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil },
				})))
				_, err = healthv1.NewHealthClient(conn).Check(t.Context(), new(healthv1.HealthCheckRequest))
				synctest.Wait()
				said := strings.Contains(log.String(), "action=connect outcome=refused") && strings.Contains(log.String(), "incompatible key usage")
				if got := status.Code(err) == codes.Unavailable; got != tt.refused || said != tt.refused || !got && err != nil {
					t.Errorf("the broker answers %v, and logs %s", err, log.String())
				}
			})
		})
	}
}
