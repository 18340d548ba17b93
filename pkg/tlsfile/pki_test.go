package tlsfile

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// ca signs certificates. In a bubble it must be made there, where the time is
// another.
type ca struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

// issued is a certificate with its key, as their files have them.
type issued struct {
	cert, key []byte
	leaf      *x509.Certificate
}

func newCA(t testing.TB, name string, alter ...func(*x509.Certificate)) *ca {
	t.Helper()
	template := &x509.Certificate{
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(10 * 24 * time.Hour),
	}
	for _, f := range alter {
		f(template)
	}
	c := new(ca)
	c.cert, c.key = sign(t, template, nil)
	c.pem = encode("CERTIFICATE", c.cert.Raw)
	return c
}

// issue signs a certificate that is good for everything here, unless it is
// altered.
func (c *ca) issue(t testing.TB, alter ...func(*x509.Certificate)) issued {
	t.Helper()
	uri, err := url.Parse("spiffe://prod/ns/shop/sa/web")
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "wxbroker"},
		DNSNames:    []string{"broker.example.com"},
		IPAddresses: []net.IP{net.IPv4(192, 0, 2, 1), net.ParseIP("2001:db8::1")},
		URIs:        []*url.URL{uri},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		NotAfter:    time.Now().Add(24 * time.Hour),
	}
	for _, f := range alter {
		f(template)
	}
	leaf, key := sign(t, template, c)
	return issued{encode("CERTIFICATE", leaf.Raw), encodeKey(t, key), leaf}
}

// intermediate returns a CA that c vouches for.
func (c *ca) intermediate(t testing.TB) *ca {
	t.Helper()
	cert, key := sign(t, &x509.Certificate{
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		Subject: pkix.Name{CommonName: "intermediate"}, NotAfter: time.Now().Add(24 * time.Hour),
	}, c)
	return &ca{cert, key, encode("CERTIFICATE", cert.Raw)}
}

// sign makes a key and a certificate for it; no parent means self-signed.
func sign(t testing.TB, template *x509.Certificate, parent *ca) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if template.NotBefore.IsZero() {
		template.NotBefore = time.Now().Add(-time.Hour)
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62)); err != nil {
		t.Fatal(err)
	}
	if parent == nil || parent.cert == nil {
		parent = &ca{cert: template, key: key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent.cert, key.Public(), parent.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func selfSigned(t testing.TB) issued {
	t.Helper()
	return (&ca{}).issue(t)
}

func mustKey(t testing.TB, raw []byte) *ecdsa.PrivateKey {
	t.Helper()
	block, _ := pem.Decode(raw)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return key.(*ecdsa.PrivateKey)
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func encodeKey(t testing.TB, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return encode("PRIVATE KEY", der)
}

// lay writes files into a directory of their own. What is nil is left out, and
// without a path.
func lay(t testing.TB, pair issued, authorities ...*ca) Files {
	t.Helper()
	dir := t.TempDir()
	var f Files
	if pair.cert != nil {
		f.Cert, f.Key = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
		write(t, f.Cert, pair.cert)
		write(t, f.Key, pair.key)
	}
	if len(authorities) > 0 {
		f.CA = filepath.Join(dir, "ca.crt")
		write(t, f.CA, bundle(authorities...))
	}
	return f
}

func bundle(authorities ...*ca) []byte {
	var all []byte
	for _, c := range authorities {
		all = append(all, c.pem...)
	}
	return all
}

func write(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// load loads what has nothing wrong with it.
func load(t testing.TB, f Files) *Source {
	t.Helper()
	s, warnings, err := Load(f)
	if err != nil || len(warnings) > 0 {
		t.Fatalf("error %v, warnings %q", err, warnings)
	}
	return s
}

// journal is a log that can be read while it is written.
type journal struct {
	mu  sync.Mutex
	out bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.out.Write(p)
}

func (j *journal) logger() *slog.Logger { return slog.New(slog.NewTextHandler(j, nil)) }

// lines returns what was logged since the last call.
func (j *journal) lines() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	defer j.out.Reset()
	if j.out.Len() == 0 {
		return nil
	}
	return strings.Split(strings.TrimSpace(j.out.String()), "\n")
}
