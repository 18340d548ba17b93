package tlsfile

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestLoad(t *testing.T) {
	authority := newCA(t, "ours")
	pair, other := authority.issue(t), authority.issue(t)
	between := authority.intermediate(t)
	ec, err := x509.MarshalECPrivateKey(mustKey(t, pair.key))
	if err != nil {
		t.Fatal(err)
	}
	legacy := pem.EncodeToMemory(&pem.Block{
		Type: "EC PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-128-CBC,00"}, Bytes: ec,
	})
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	glued := join(bytes.TrimSpace(pair.cert), between.pem)

	for _, tt := range []struct {
		name          string
		cert, key, ca []byte
		says          string
		about         []string // the files that the error names
	}{
		{"a pair", pair.cert, pair.key, nil, "", nil},
		{"CAs", nil, nil, authority.pem, "", nil},
		{"all", pair.cert, pair.key, authority.pem, "", nil},
		{"nothing", nil, nil, nil, "", nil},
		{"an intermediate after it", join(pair.cert, between.pem), pair.key, nil, "", nil},
		{"words around it", join([]byte("the broker's\r\n"), pair.cert, []byte("until spring\n")), pair.key, nil, "", nil},
		{"newlines of Windows", bytes.ReplaceAll(pair.cert, []byte("\n"), []byte("\r\n")), bytes.ReplaceAll(pair.key, []byte("\n"), []byte("\r\n")), nil, "", nil},
		{"the form of openssl ecparam", pair.cert, join(encode("EC PARAMETERS", []byte{6, 0}), encode("EC PRIVATE KEY", ec)), nil, "", nil},
		{"both in one file", join(pair.cert, pair.key), join(pair.cert, pair.key), nil, "", nil},

		{"no key", pair.cert, nil, nil, "has no key with it", []string{"tls.crt"}},
		{"no certificate", nil, pair.key, nil, "has no certificate with it", []string{"tls.key"}},
		{"another key", pair.cert, other.key, nil, "does not match", []string{"tls.crt", "tls.key"}},
		{"the intermediate before it", join(between.pem, pair.cert), pair.key, nil, "first certificate", []string{"tls.crt", "tls.key"}},
		{"swapped", pair.key, pair.cert, nil, "swapped", []string{"tls.crt"}},
		{"the certificate twice", pair.cert, pair.cert, nil, "no private key", []string{"tls.key"}},
		{"DER", pair.leaf.Raw, pair.key, nil, "openssl x509 -inform der", []string{"tls.crt"}},
		{"glued together", glued, pair.key, nil, "a line of its own", []string{"tls.crt"}},
		{"indented", pair.cert, pair.key, bytes.ReplaceAll(authority.pem, []byte("-----BEGIN"), []byte("  -----BEGIN")), "indented", []string{"ca.crt"}},
		{"a certificate that is none", encode("CERTIFICATE", []byte("x")), pair.key, nil, "certificate 1 does not parse", []string{"tls.crt"}},
		{"a CA that is none", nil, nil, join(authority.pem, encode("CERTIFICATE", []byte("x"))), "certificate 2 does not parse", []string{"ca.crt"}},
		{"CAs without one", nil, nil, []byte("# none yet\n"), "no certificate", []string{"ca.crt"}},
		{"a key among CAs", nil, nil, pair.key, "swapped", []string{"ca.crt"}},
		{"a key with a passphrase", pair.cert, encode("ENCRYPTED PRIVATE KEY", []byte("x")), nil, "passphrase", []string{"tls.key"}},
		{"a key with a passphrase, of old", pair.cert, legacy, nil, "passphrase", []string{"tls.key"}},
		{"a key that is none", pair.cert, encode("PRIVATE KEY", []byte("x")), nil, "parse private key", []string{"tls.key"}},
		{"an empty key", pair.cert, []byte{}, nil, "is empty", []string{"tls.key"}},
		{"a huge certificate", join(pair.cert, make([]byte, maxFile)), pair.key, nil, "more than 1048576 bytes", []string{"tls.crt"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			put := func(name string, content []byte) string {
				if content == nil {
					return ""
				}
				path := filepath.Join(dir, name)
				write(t, path, content)
				return path
			}
			source, warnings, err := Load(Files{put("tls.crt", tt.cert), put("tls.key", tt.key), put("ca.crt", tt.ca)})
			said := ""
			if err != nil {
				said = strings.ReplaceAll(err.Error(), dir, "") // which has the test's name in it
			}
			if (err == nil) != (tt.says == "") || !strings.Contains(said, tt.says) {
				t.Errorf("error %v, want %q", err, tt.says)
			}
			if len(warnings) > 0 || (source == nil) != (err != nil) {
				t.Errorf("warnings %q, source %v", warnings, source)
			}
			for _, name := range tt.about {
				if err != nil && !strings.Contains(err.Error(), filepath.Join(dir, name)) {
					t.Errorf("%v does not name %s", err, name)
				}
			}
			for _, key := range [][]byte{pair.key, other.key, legacy} {
				if err != nil && leak(err.Error(), key) != "" {
					t.Errorf("a key is in the error %v", err)
				}
			}
		})
	}
}

func TestLoadOfWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, path, says string }{
		{"missing", filepath.Join(dir, "missing"), "no such file"},
		{"a directory", dir, "not a regular file"},
		{"a pipe that nobody writes", pipe, "not a regular file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := Load(Files{CA: tt.path})
			refused(t, err, tt.says)
			refused(t, err, tt.path)
			refused(t, err, "reading the TLS CAs")
		})
	}
}

func TestWarnings(t *testing.T) {
	authority, old := newCA(t, "ours"), newCA(t, "old", expired)
	sound := authority.issue(t)
	late := authority.issue(t, expired)
	early := authority.issue(t, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) })

	for _, tt := range []struct {
		name string
		pair issued
		cas  []*ca
		mode os.FileMode
		says []string
	}{
		{"nothing", sound, nil, 0o600, nil},
		{"a group may read the key", sound, nil, 0o640, nil},
		{"everybody may read the key", sound, nil, 0o644, []string{"tls.key can be read by every user"}},
		{"an expired certificate", late, nil, 0o600, []string{"tls.crt expired at " + late.leaf.NotAfter.Format(time.RFC3339)}},
		{"one from the future", early, nil, 0o600, []string{"tls.crt is not valid before"}},
		{"an expired CA", sound, []*ca{authority, old}, 0o600, []string{`number 2 of the TLS CAs`}},
		{"all of it", late, []*ca{old}, 0o604, []string{"every user", "tls.crt expired", `ca.crt, "CN=old", expired`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			files := lay(t, tt.pair, tt.cas...)
			if err := os.Chmod(files.Key, tt.mode); err != nil {
				t.Fatal(err)
			}
			_, warnings, err := Load(files)
			if err != nil || len(warnings) != len(tt.says) {
				t.Fatalf("error %v, warnings %q, want %d", err, warnings, len(tt.says))
			}
			for i, says := range tt.says {
				if !strings.Contains(warnings[i], says) {
					t.Errorf("got %q, want %q", warnings[i], says)
				}
			}
		})
	}
}

func TestExpiry(t *testing.T) {
	authority := newCA(t, "ours")
	shorter := newCA(t, "shorter", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(48 * time.Hour) })
	pair := authority.issue(t)

	certificate, ca := load(t, lay(t, pair, authority, shorter)).Expiry()
	if !certificate.Equal(pair.leaf.NotAfter) || !ca.Equal(shorter.cert.NotAfter) {
		t.Errorf("got %v and %v", certificate, ca)
	}
	if certificate, ca := load(t, lay(t, pair)).Expiry(); certificate.IsZero() || !ca.IsZero() {
		t.Errorf("without CAs: %v and %v", certificate, ca)
	}
	if certificate, ca := load(t, lay(t, issued{}, authority)).Expiry(); !certificate.IsZero() || ca.IsZero() {
		t.Errorf("without a certificate: %v and %v", certificate, ca)
	}
}

// FuzzParse: no content crashes it, what is taken can be served with, and no
// error quotes a key.
func FuzzParse(f *testing.F) {
	authority := newCA(f, "ours")
	pair := authority.issue(f)
	f.Add(pair.cert, pair.key, authority.pem)
	f.Add(pair.key, pair.cert, pair.key)
	f.Add(pair.cert, pair.key[:len(pair.key)/2], authority.pem[:len(authority.pem)/2])
	f.Add(pair.cert, append(encode("EC PARAMETERS", []byte{6, 0}), pair.key...), append(authority.pem, authority.pem...))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"), encode("ENCRYPTED PRIVATE KEY", []byte("secret")), []byte("-----BEGIN "))
	f.Add([]byte{}, bytes.ReplaceAll(pair.key, []byte("PRIVATE KEY"), []byte("MIGHAgEAMBMGByqGSM49")), []byte{})
	files := Files{"tls.crt", "tls.key", "ca.crt"}
	f.Fuzz(func(t *testing.T, cert, key, ca []byte) {
		m, err := files.parse(contents{cert: cert, key: key, ca: ca})
		if err != nil {
			if m != nil || leak(err.Error(), key) != "" && !bytes.Contains(cert, key) {
				t.Errorf("material %v with the error %v", m, err)
			}
			return
		}
		if m.pair == nil || m.pair.PrivateKey == nil || m.pair.Leaf == nil || m.pool == nil || len(m.authorities) == 0 {
			t.Errorf("incomplete: %+v", m)
		}
		m.warnings(files, time.Now())
		m.attributes()
	})
}
