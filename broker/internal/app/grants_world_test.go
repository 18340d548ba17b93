package app_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/test/bufconn"

	"github.com/wxbroker/wxbroker/broker/clustertest"
	"github.com/wxbroker/wxbroker/broker/internal/app"
	"github.com/wxbroker/wxbroker/broker/internal/config"
	"github.com/wxbroker/wxbroker/broker/internal/store"
	"github.com/wxbroker/wxbroker/broker/internal/store/storetest"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/grpctest"
	"github.com/wxbroker/wxbroker/pkg/logtest"
	"github.com/wxbroker/wxbroker/pkg/tlsfile"
	"github.com/wxbroker/wxbroker/pkg/tlstest"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
	"github.com/wxbroker/wxbroker/pkg/wechatsim/simtest"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// site is a whole broker with TLS, in real time, the authorities that vouch for its
// callers, and a WeChat that knows wx1 and wx2.
type site struct {
	ours, foreign *tlstest.CA
	files         tlsfile.Files
	cluster       *clustertest.Cluster
	listener      *bufconn.Listener
	log           logtest.Log
	values        map[wxbrokerv1.CredentialKind]string // of the credentials of wx1
}

// appOf returns the name of the app that was granted g for an account; each
// has an identity of each kind.
func appOf(g credential.Grant, appid string) string { return string(g) + "-" + appid }

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{
		ours: tlstest.NewCA(t, "ours"), foreign: tlstest.NewCA(t, "foreign"), cluster: clustertest.New(t, "one"),
		listener: bufconn.Listen(64 << 10), values: make(map[wxbrokerv1.CredentialKind]string),
	}
	dir := t.TempDir()
	cert, key := s.ours.Issue(t).Write(t, dir)
	s.files = tlsfile.Files{Cert: cert, Key: key, CA: s.ours.Write(t, dir)}
	s.serve(t, s.configure(t, dir))
	for _, kind := range kinds {
		s.values[kind] = s.value(t, kind)
	}
	return s
}

// configure writes a configuration, and reads it.
func (s *site) configure(t *testing.T, dir string) config.Config {
	t.Helper()
	var text strings.Builder
	fmt.Fprintf(&text, "upstreams: ['http://127.0.0.1:1']\ntls: {cert_file: %q, key_file: %q, client_ca_file: %q}\n", s.files.Cert, s.files.Key, s.files.CA)
	fmt.Fprintf(&text, "kubernetes: {issuer: %q, keys_file: %q}\naccounts:\n", clustertest.Issuer, s.cluster.KeysFile(t))
	secret, path := filepath.Join(dir, "secret"), filepath.Join(dir, "wxbroker.yaml")
	for _, appid := range []string{"wx1", "wx2"} {
		fmt.Fprintf(&text, "  - {appid: %s, secret_file: %q, tickets: [jsapi, wx_card]}\n", appid, secret)
	}
	text.WriteString("apps:\n")
	for _, g := range credential.Grants() {
		for _, appid := range []string{"wx1", "wx2"} {
			name := appOf(g, appid)
			fmt.Fprintf(&text, "  - {name: %s, accounts: [%s], grants: [%s], identities: ['spiffe://prod/%[1]s', 'k8s:shop:%[1]s'], limits: {per_second: 10000}}\n", name, appid, g)
		}
	}
	for file, content := range map[string]string{secret: "secret", path: text.String()} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	read, err := config.File(path).Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := config.Parse(t.Context(), path, read)
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

// serve runs the broker until the test ends.
func (s *site) serve(t *testing.T, c config.Config) {
	t.Helper()
	sim := wechatsim.New(wechatsim.Config{Accounts: []wechatsim.Account{{AppID: "wx1", Secret: "secret"}, {AppID: "wx2", Secret: "secret"}}})
	ctx, cancel := context.WithCancel(context.Background())
	broker, err := app.New(ctx, c, app.Options{
		Version: "v1.2.3", Log: s.log.Logger(), GRPC: s.listener, Ops: bufconn.Listen(64 << 10),
		OpenStore: func(string, store.Keys) (store.Disk, store.Findings, error) {
			return new(storetest.Disk), store.Findings{}, nil
		},
		DialWeChat: simtest.Serve(t, sim).Dial,
	})
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- broker.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

// value waits until wx1 has a credential, and returns its value.
func (s *site) value(t *testing.T, kind wxbrokerv1.CredentialKind) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	grant := credential.Sign
	if kind == tokenKind {
		grant = credential.Token
	}
	conn := s.dial(t, caller{pair: certificate(t, s.ours, appOf(grant, "wx1"), time.Now().Add(time.Hour))})
	defer conn.Close()
	stream, err := wxbrokerv1.NewCredentialServiceClient(conn).Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	_ = stream.Send(subscribe(kind)) // Recv says why not
	for {
		state, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		for _, account := range state.GetAccounts() {
			for _, c := range account.GetCredentials() {
				return c.GetValue()
			}
		}
	}
}

// hash is the hash of the token that WeChat honours.
func (s *site) hash() []byte {
	sum := sha256.Sum256([]byte(s.values[tokenKind]))
	return sum[:]
}

// caller is how somebody connects and calls.
type caller struct {
	pair  *tlstest.Pair
	token string
}

// dial returns a connection of its own.
func (s *site) dial(t *testing.T, c caller) *grpc.ClientConn {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(s.ours.Cert)
	secured := &tls.Config{RootCAs: pool, ServerName: tlstest.DNSName, MinVersion: tls.VersionTLS13}
	if c.pair != nil {
		pair, err := tls.X509KeyPair(c.pair.Cert, c.pair.Key)
		if err != nil {
			t.Fatal(err)
		}
		secured.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	return grpctest.Connect(t, s.listener.DialContext, grpc.WithTransportCredentials(credentials.NewTLS(secured)))
}

// call makes one call on a connection of its own.
func (s *site) call(t *testing.T, m method, c caller) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if c.token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+c.token)
	}
	return m.call(ctx, s, s.dial(t, c))
}

// certificate returns one for the app of that name.
func certificate(t *testing.T, ca *tlstest.CA, name string, expiry time.Time) *tlstest.Pair {
	t.Helper()
	uri, err := url.Parse("spiffe://prod/" + name)
	if err != nil {
		t.Fatal(err)
	}
	pair := ca.Issue(t, func(c *x509.Certificate) {
		c.URIs, c.DNSNames, c.IPAddresses = []*url.URL{uri}, nil, nil
		if c.NotAfter = expiry; expiry.Before(time.Now()) {
			c.NotBefore = expiry.Add(-time.Hour)
		}
	})
	return &pair
}
