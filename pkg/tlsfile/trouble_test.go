package tlsfile

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/pkg/tlstest"
)

// TestUnusableFiles: what was in use stays in use, whatever becomes of the files. The
// trouble is logged once, and its end too.
func TestUnusableFiles(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(*testing.T, Files, *tlstest.CA)
		says  string
	}{
		{"the certificate is gone", func(t *testing.T, f Files, _ *tlstest.CA) { remove(t, f.Cert) }, "no such file"},
		{"the key is gone", func(t *testing.T, f Files, _ *tlstest.CA) { remove(t, f.Key) }, "no such file"},
		{"the CAs are gone", func(t *testing.T, f Files, _ *tlstest.CA) { remove(t, f.CA) }, "no such file"},
		{"the certificate is empty", func(t *testing.T, f Files, _ *tlstest.CA) { write(t, f.Cert, nil) }, "is empty"},
		{"the key is empty", func(t *testing.T, f Files, _ *tlstest.CA) { write(t, f.Key, nil) }, "is empty"},
		{"the CAs are empty", func(t *testing.T, f Files, _ *tlstest.CA) { write(t, f.CA, nil) }, "is empty"},
		{"the certificate is garbage", func(t *testing.T, f Files, _ *tlstest.CA) { write(t, f.Cert, []byte("garbage")) }, "no certificate"},
		{"the key is garbage", func(t *testing.T, f Files, _ *tlstest.CA) { write(t, f.Key, []byte("garbage")) }, "no private key"},
		{"the CAs are garbage", func(t *testing.T, f Files, _ *tlstest.CA) { write(t, f.CA, []byte("garbage")) }, "no certificate"},
		{"the CAs are cut off", func(t *testing.T, f Files, c *tlstest.CA) {
			two := bundle(c, tlstest.NewCA(t, "another"))
			write(t, f.CA, two[:len(two)-30])
		}, "cut off"},
		{"the certificate of another key", func(t *testing.T, f Files, c *tlstest.CA) { write(t, f.Cert, c.Issue(t).Cert) }, "does not match"},
		{"the key of another certificate", func(t *testing.T, f Files, c *tlstest.CA) { write(t, f.Key, c.Issue(t).Key) }, "does not match"},
		{"a good pair, but no CAs", func(t *testing.T, f Files, c *tlstest.CA) {
			other := c.Issue(t)
			write(t, f.Cert, other.Cert)
			write(t, f.Key, other.Key)
			write(t, f.CA, []byte("garbage"))
		}, "no certificate"},
		{"good CAs, but no pair", func(t *testing.T, f Files, _ *tlstest.CA) {
			write(t, f.CA, tlstest.NewCA(t, "another").PEM)
			write(t, f.Cert, []byte("garbage"))
		}, "no certificate"},
		{"a directory", func(t *testing.T, f Files, _ *tlstest.CA) {
			remove(t, f.Key)
			if err := os.Mkdir(f.Key, 0o700); err != nil {
				t.Fatal(err)
			}
		}, "not a regular file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				authority := tlstest.NewCA(t, "ours")
				pair := authority.Issue(t)
				files := lay(t, pair, authority)
				source := load(t, files)
				before := source.current.Load()
				log := run(t, source)
				tt.spoil(t, files, authority)
				pass(9 * time.Second) // a writer may need a moment
				says(t, log)
				pass(6 * time.Second)
				says(t, log, "level=WARN", "going on with what was read before", `files="TLS files"`, tt.says, filepath.Dir(files.Cert))
				pass(5 * time.Minute)
				says(t, log)
				if source.current.Load() != before {
					t.Error("it is in use")
				}

				_ = os.Remove(files.Key) // a directory is in the way
				write(t, files.Key, pair.Key)
				write(t, files.Cert, pair.Cert)
				write(t, files.CA, authority.PEM)
				pass(settled)
				says(t, log, "level=INFO", "can be used again")
			})
		})
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// TestAnotherFaultIsNews: a person who mends one fault has to learn of the next.
func TestAnotherFaultIsNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		authority := tlstest.NewCA(t, "ours")
		files := lay(t, authority.Issue(t))
		source := load(t, files)
		log := run(t, source)
		remove(t, files.Key)
		pass(time.Minute)
		says(t, log, "no such file")
		write(t, files.Key, []byte("garbage"))
		pass(settled)
		says(t, log, "no private key")
		for i := range 30 { // a script that runs wild does not flood the log
			write(t, files.Key, fmt.Appendf(nil, "garbage %d", i))
			pass(3 * time.Second)
		}
		says(t, log)
		next := authority.Issue(t)
		write(t, files.Key, next.Key)
		write(t, files.Cert, next.Cert)
		pass(settled)
		source.uses(t, next)
		if lines := log.Take(); len(lines) != 2 || !strings.Contains(lines[0], "using the new ones") || !strings.Contains(lines[1], "can be used again") {
			t.Errorf("logged %q", lines)
		}
	})
}

// TestEndlessWriting: files that change at each look are logged as well.
func TestEndlessWriting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		authority := tlstest.NewCA(t, "ours")
		files := lay(t, tlstest.Pair{}, authority)
		log := run(t, load(t, files))
		for i := range 40 {
			write(t, files.CA, append(fmt.Appendf(nil, "# %d\n", i), authority.PEM...))
			pass(time.Second)
		}
		says(t, log, "level=WARN", "keep changing")
	})
}

// TestWarningsWhileRunning: a warning of Load is not logged again. A warning that arises
// later is.
func TestWarningsWhileRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		authority := tlstest.NewCA(t, "ours")
		soon := authority.Issue(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(time.Hour) })
		files := lay(t, soon, authority)
		if err := os.Chmod(files.Key, 0o644); err != nil {
			t.Fatal(err)
		}
		source, warnings, err := Load(t.Context(), files)
		if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], files.Key) || !strings.Contains(warnings[0], "chmod 600") {
			t.Fatalf("error %v, warnings %q", err, warnings)
		}
		log := run(t, source)
		pass(59 * time.Minute)
		says(t, log)
		pass(10 * time.Minute)
		says(t, log, "level=WARN", files.Cert, "expired at")

		renewed := authority.Issue(t, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(30 * time.Minute) })
		write(t, files.Cert, renewed.Cert)
		write(t, files.Key, renewed.Key)
		pass(settled)
		source.uses(t, renewed)
		lines := log.Take()
		if len(lines) != 2 || !strings.Contains(lines[1], "not valid before") {
			t.Errorf("logged %q", lines)
		}
		pass(time.Hour)
		says(t, log)
	})
}

func TestNoKeyInTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		authority := tlstest.NewCA(t, "ours")
		pair := authority.Issue(t)
		files := lay(t, pair, authority)
		source := load(t, files)
		log := run(t, source)
		next := authority.Issue(t)
		var said []string
		for _, step := range []func(){
			func() { write(t, files.Cert, next.Key) },
			func() { write(t, files.CA, next.Key) },
			func() { write(t, files.Key, next.Key[:len(next.Key)-40]) },
			func() { write(t, files.Key, next.Key) },
			func() { write(t, files.Key, bytes.ReplaceAll(next.Key, []byte("PRIVATE KEY"), []byte("KEY"))) },
			func() {
				write(t, files.Cert, next.Cert)
				write(t, files.Key, next.Key)
			},
		} {
			write(t, files.Cert, pair.Cert)
			write(t, files.Key, pair.Key)
			write(t, files.CA, authority.PEM)
			step()
			pass(time.Minute)
			said = append(said, log.Take()...)
		}
		source.uses(t, next)
		if len(said) != 7 {
			t.Errorf("logged only %q", said)
		}
		for _, line := range said {
			for _, secret := range []tlstest.Pair{pair, next} {
				if leaked := leak(line, secret.Key); leaked != "" {
					t.Errorf("%q is in the log: %s", leaked, line)
				}
			}
		}
	})
}

// leak returns 16 bytes of a key file that are in text, "" for none.
func leak(text string, key []byte) string {
	for line := range strings.Lines(string(key)) {
		line = strings.TrimSpace(line)
		for len(line) >= 16 && !strings.HasPrefix(line, "-----") {
			if strings.Contains(text, line[:16]) {
				return line[:16]
			}
			line = line[1:]
		}
	}
	return ""
}
