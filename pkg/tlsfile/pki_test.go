package tlsfile

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"

	"github.com/wxbroker/wxbroker/pkg/tlstest"
)

func mustKey(t testing.TB, raw []byte) *ecdsa.PrivateKey {
	t.Helper()
	block, _ := pem.Decode(raw)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return key.(*ecdsa.PrivateKey)
}

// lay writes files into a directory of their own. A file whose content is nil is left
// out and has no path.
func lay(t testing.TB, pair tlstest.Pair, authorities ...*tlstest.CA) Files {
	t.Helper()
	dir := t.TempDir()
	var f Files
	if pair.Cert != nil {
		f.Cert, f.Key = pair.Write(t, dir)
	}
	if len(authorities) > 0 {
		f.CA = filepath.Join(dir, "ca.crt")
		write(t, f.CA, bundle(authorities...))
	}
	return f
}

func bundle(authorities ...*tlstest.CA) []byte {
	var all []byte
	for _, c := range authorities {
		all = append(all, c.PEM...)
	}
	return all
}

func write(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// load loads files that have nothing wrong with them.
func load(t testing.TB, f Files) *Source {
	t.Helper()
	s, warnings, err := Load(t.Context(), f)
	if err != nil || len(warnings) > 0 {
		t.Fatalf("error %v, warnings %q", err, warnings)
	}
	return s
}
