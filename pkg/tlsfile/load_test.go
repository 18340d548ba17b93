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

	"github.com/wxbroker/wxbroker/pkg/follow"
	"github.com/wxbroker/wxbroker/pkg/tlstest"
)

func TestLoad(t *testing.T) {
	authority := tlstest.NewCA(t, "ours")
	pair, other := authority.Issue(t), authority.Issue(t)
	between := authority.Intermediate(t)
	ec, err := x509.MarshalECPrivateKey(mustKey(t, pair.Key))
	if err != nil {
		t.Fatal(err)
	}
	legacy := pem.EncodeToMemory(&pem.Block{
		Type: "EC PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-128-CBC,00"}, Bytes: ec,
	})
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	glued := join(bytes.TrimSpace(pair.Cert), between.PEM)

	for _, tt := range []struct {
		name          string
		cert, key, ca []byte
		says          string
		about         []string // the files that the error names
	}{
		{"a pair", pair.Cert, pair.Key, nil, "", nil},
		{"CAs", nil, nil, authority.PEM, "", nil},
		{"all", pair.Cert, pair.Key, authority.PEM, "", nil},
		{"nothing", nil, nil, nil, "", nil},
		{"an intermediate after it", join(pair.Cert, between.PEM), pair.Key, nil, "", nil},
		{"words around it", join([]byte("the broker's\r\n"), pair.Cert, []byte("until spring\n")), pair.Key, nil, "", nil},
		{"newlines of Windows", bytes.ReplaceAll(pair.Cert, []byte("\n"), []byte("\r\n")), bytes.ReplaceAll(pair.Key, []byte("\n"), []byte("\r\n")), nil, "", nil},
		{"the form of openssl ecparam", pair.Cert, join(tlstest.Encode("EC PARAMETERS", []byte{6, 0}), tlstest.Encode("EC PRIVATE KEY", ec)), nil, "", nil},
		{"both in one file", join(pair.Cert, pair.Key), join(pair.Cert, pair.Key), nil, "", nil},

		{"no key", pair.Cert, nil, nil, "has no key with it", []string{"tls.crt"}},
		{"no certificate", nil, pair.Key, nil, "has no certificate with it", []string{"tls.key"}},
		{"another key", pair.Cert, other.Key, nil, "does not match", []string{"tls.crt", "tls.key"}},
		{"the intermediate before it", join(between.PEM, pair.Cert), pair.Key, nil, "first certificate", []string{"tls.crt", "tls.key"}},
		{"swapped", pair.Key, pair.Cert, nil, "swapped", []string{"tls.crt"}},
		{"the certificate twice", pair.Cert, pair.Cert, nil, "no private key", []string{"tls.key"}},
		{"DER", pair.Leaf.Raw, pair.Key, nil, "openssl x509 -inform der", []string{"tls.crt"}},
		{"glued together", glued, pair.Key, nil, "a line of its own", []string{"tls.crt"}},
		{"indented", pair.Cert, pair.Key, bytes.ReplaceAll(authority.PEM, []byte("-----BEGIN"), []byte("  -----BEGIN")), "indented", []string{"ca.crt"}},
		{"a certificate that is none", tlstest.Encode("CERTIFICATE", []byte("x")), pair.Key, nil, "certificate 1 does not parse", []string{"tls.crt"}},
		{"a CA that is none", nil, nil, join(authority.PEM, tlstest.Encode("CERTIFICATE", []byte("x"))), "certificate 2 does not parse", []string{"ca.crt"}},
		{"CAs without one", nil, nil, []byte("# none yet\n"), "no certificate", []string{"ca.crt"}},
		{"a key among CAs", nil, nil, pair.Key, "swapped", []string{"ca.crt"}},
		{"a key with a passphrase", pair.Cert, tlstest.Encode("ENCRYPTED PRIVATE KEY", []byte("x")), nil, "passphrase", []string{"tls.key"}},
		{"a key with a passphrase, of old", pair.Cert, legacy, nil, "passphrase", []string{"tls.key"}},
		{"a key that is none", pair.Cert, tlstest.Encode("PRIVATE KEY", []byte("x")), nil, "parse private key", []string{"tls.key"}},
		{"an empty key", pair.Cert, []byte{}, nil, "is empty", []string{"tls.key"}},
		{"a huge certificate", join(pair.Cert, make([]byte, maxFile)), pair.Key, nil, "more than 1048576 bytes", []string{"tls.crt"}},
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
			source, warnings, err := Load(t.Context(), Files{put("tls.crt", tt.cert), put("tls.key", tt.key), put("ca.crt", tt.ca)})
			said := ""
			if err != nil {
				said = strings.ReplaceAll(err.Error(), dir, "") // the directory has the test's name in it
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
			for _, key := range [][]byte{pair.Key, other.Key, legacy} {
				if err != nil && leak(err.Error(), key) != "" {
					t.Errorf("a key is in the error %v", err)
				}
			}
		})
	}
}

func TestLoadRefusesWhatIsNoRegularFile(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	// It is always written to: code that opens it by mistake does not hang, neither in
	// opening nor in reading.
	writer, err := os.OpenFile(pipe, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	go func() {
		for {
			if _, err := writer.Write(make([]byte, 1<<10)); err != nil {
				return
			}
		}
	}()
	for _, tt := range []struct{ name, path, says string }{
		{"missing", filepath.Join(dir, "missing"), "no such file"},
		{"a directory", dir, "not a regular file"},
		{"a pipe", pipe, "not a regular file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := Load(t.Context(), Files{CA: tt.path})
			refused(t, err, tt.says)
			refused(t, err, tt.path)
			refused(t, err, "reading the TLS files")
		})
	}
}

func TestWarnings(t *testing.T) {
	authority, old := tlstest.NewCA(t, "ours"), tlstest.NewCA(t, "old", expired)
	sound := authority.Issue(t)
	late := authority.Issue(t, expired)
	early := authority.Issue(t, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) })

	for _, tt := range []struct {
		name string
		pair tlstest.Pair
		cas  []*tlstest.CA
		mode os.FileMode
		says []string
	}{
		{"nothing", sound, nil, 0o600, nil},
		{"a group may read the key", sound, nil, 0o640, nil},
		{"everybody may read the key", sound, nil, 0o644, []string{"tls.key can be read by every user"}},
		{"an expired certificate", late, nil, 0o600, []string{"tls.crt expired at " + late.Leaf.NotAfter.Format(time.RFC3339)}},
		{"one from the future", early, nil, 0o600, []string{"tls.crt is not valid before"}},
		{"an expired CA", sound, []*tlstest.CA{authority, old}, 0o600, []string{`number 2 of the TLS CAs`}},
		{"all of it", late, []*tlstest.CA{old}, 0o604, []string{"every user", "tls.crt expired", `ca.crt, "CN=old", expired`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			files := lay(t, tt.pair, tt.cas...)
			if err := os.Chmod(files.Key, tt.mode); err != nil {
				t.Fatal(err)
			}
			_, warnings, err := Load(t.Context(), files)
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

// FuzzParse: no content crashes parse, a server can use what it accepts, and no error
// quotes a key.
func FuzzParse(f *testing.F) {
	authority := tlstest.NewCA(f, "ours")
	pair := authority.Issue(f)
	f.Add(pair.Cert, pair.Key, authority.PEM)
	f.Add(pair.Key, pair.Cert, pair.Key)
	f.Add(pair.Cert, pair.Key[:len(pair.Key)/2], authority.PEM[:len(authority.PEM)/2])
	f.Add(pair.Cert, append(tlstest.Encode("EC PARAMETERS", []byte{6, 0}), pair.Key...), append(authority.PEM, authority.PEM...))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"), tlstest.Encode("ENCRYPTED PRIVATE KEY", []byte("secret")), []byte("-----BEGIN "))
	f.Add([]byte{}, bytes.ReplaceAll(pair.Key, []byte("PRIVATE KEY"), []byte("MIGHAgEAMBMGByqGSM49")), []byte{})
	files := Files{"tls.crt", "tls.key", "ca.crt"}
	f.Fuzz(func(t *testing.T, cert, key, ca []byte) {
		m, err := files.parse(follow.Contents{Files: []follow.File{{Bytes: cert}, {Bytes: key}, {Bytes: ca}}})
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
