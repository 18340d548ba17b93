// Package tlstest makes certificates for tests. Certificates for a synctest bubble have
// to be made inside it, because the time is different there.
package tlstest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// CA signs certificates.
type CA struct {
	Cert *x509.Certificate
	Key  *ecdsa.PrivateKey
	PEM  []byte // the certificate as it is in a file
}

// Pair is a certificate with its key, as they are in files.
type Pair struct {
	Cert, Key []byte
	Leaf      *x509.Certificate
}

// NewCA returns a CA that is good for ten days, unless it is altered.
func NewCA(t testing.TB, name string, alter ...func(*x509.Certificate)) *CA {
	t.Helper()
	return newCA(t, name, nil, alter)
}

// Intermediate returns a CA that c vouches for.
func (c *CA) Intermediate(t testing.TB) *CA {
	t.Helper()
	return newCA(t, "intermediate", c, nil)
}

func newCA(t testing.TB, name string, parent *CA, alter []func(*x509.Certificate)) *CA {
	t.Helper()
	template := &x509.Certificate{
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(10 * 24 * time.Hour),
	}
	for _, f := range alter {
		f(template)
	}
	cert, key := sign(t, template, parent)
	return &CA{cert, key, Encode("CERTIFICATE", cert.Raw)}
}

// Issue returns a certificate for the names below that is good for a day, for
// a server and for a client, unless it is altered.
func (c *CA) Issue(t testing.TB, alter ...func(*x509.Certificate)) Pair {
	t.Helper()
	return issue(t, c, alter)
}

// SelfSigned returns a certificate that no CA vouches for.
func SelfSigned(t testing.TB) Pair {
	t.Helper()
	return issue(t, nil, nil)
}

// The names of a certificate, beside 127.0.0.1, 192.0.2.1 and 2001:db8::1.
const (
	DNSName = "broker.example.com"
	URI     = "spiffe://prod/ns/shop/sa/web"
)

func issue(t testing.TB, parent *CA, alter []func(*x509.Certificate)) Pair {
	t.Helper()
	uri, err := url.Parse(URI)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "wxbroker"},
		DNSNames:    []string{DNSName},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv4(192, 0, 2, 1), net.ParseIP("2001:db8::1")},
		URIs:        []*url.URL{uri},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		NotAfter:    time.Now().Add(24 * time.Hour),
	}
	for _, f := range alter {
		f(template)
	}
	leaf, key := sign(t, template, parent)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return Pair{Encode("CERTIFICATE", leaf.Raw), Encode("PRIVATE KEY", der), leaf}
}

// sign makes a key and a certificate for it; no parent means self-signed.
func sign(t testing.TB, template *x509.Certificate, parent *CA) (*x509.Certificate, *ecdsa.PrivateKey) {
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
	if parent == nil {
		parent = &CA{Cert: template, Key: key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent.Cert, key.Public(), parent.Key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

// Encode returns a PEM block.
func Encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// Serial returns the certificate's serial number, which tells it from others.
func (p Pair) Serial() string { return p.Leaf.SerialNumber.Text(16) }

// Write writes tls.crt and tls.key into a directory, in place of those that
// are there, and returns their paths.
func (p Pair) Write(t testing.TB, dir string) (cert, key string) {
	t.Helper()
	cert, key = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	write(t, cert, p.Cert)
	write(t, key, p.Key)
	return cert, key
}

// Write writes ca.crt into a directory and returns its path.
func (c *CA) Write(t testing.TB, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "ca.crt")
	write(t, path, c.PEM)
	return path
}

func write(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}
