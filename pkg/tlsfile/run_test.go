package tlsfile

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/pkg/logtest"
	"github.com/wxbroker/wxbroker/pkg/tlstest"
)

// run lets Run follow the files, in a bubble.
func run(t *testing.T, s *Source) *logtest.Log {
	t.Helper()
	log := new(logtest.Log)
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		s.Run(ctx, log.Logger())
	}()
	t.Cleanup(func() { stop(); <-stopped })
	return log
}

// pass lets time pass, and waits until everything that was due has happened.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// settled is long enough for a change to be in use: two looks and a bit.
const settled = 5 * time.Second

// serial returns the serial number of the certificate that servers and clients would
// present now.
func (s *Source) serial() string {
	return s.handshake(nil).Certificates[0].Leaf.SerialNumber.Text(16)
}

func (s *Source) uses(t *testing.T, want tlstest.Pair) {
	t.Helper()
	if got := s.serial(); got != want.Serial() {
		t.Errorf("uses %s, want %s", got, want.Serial())
	}
}

// says checks that one line was logged since the last call, with all of these words in it; no
// words mean no line.
func says(t *testing.T, log *logtest.Log, words ...string) {
	t.Helper()
	lines := log.Take()
	if len(words) == 0 {
		if len(lines) > 0 {
			t.Errorf("logged %q", lines)
		}
		return
	}
	if len(lines) != 1 {
		t.Errorf("logged %q, want one line with %q", lines, words)
		return
	}
	for _, word := range words {
		if !strings.Contains(lines[0], word) {
			t.Errorf("logged %q, without %q", lines[0], word)
		}
	}
}

// TestKubernetesSwap: a Kubernetes volume has a directory for each generation, and links
// through which all files change at once.
func TestKubernetesSwap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		volume := t.TempDir()
		generation := func(name string, pair tlstest.Pair, c *tlstest.CA) {
			dir := filepath.Join(volume, name)
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, "tls.crt"), pair.Cert)
			write(t, filepath.Join(dir, "tls.key"), pair.Key)
			write(t, filepath.Join(dir, "ca.crt"), c.PEM)
			next := filepath.Join(volume, "..data_tmp")
			if err := os.Symlink(name, next); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(next, filepath.Join(volume, "..data")); err != nil {
				t.Fatal(err)
			}
		}
		authority, renewed := tlstest.NewCA(t, "old"), tlstest.NewCA(t, "new")
		first, second := authority.Issue(t), renewed.Issue(t)
		generation("..2026_01", first, authority)
		files := Files{filepath.Join(volume, "tls.crt"), filepath.Join(volume, "tls.key"), filepath.Join(volume, "ca.crt")}
		for _, path := range []string{files.Cert, files.Key, files.CA} {
			if err := os.Symlink(filepath.Join("..data", filepath.Base(path)), path); err != nil {
				t.Fatal(err)
			}
		}
		source := load(t, files)
		log := run(t, source)
		pass(time.Hour)
		says(t, log)
		source.uses(t, first)

		generation("..2026_02", second, renewed)
		if err := os.RemoveAll(filepath.Join(volume, "..2026_01")); err != nil {
			t.Fatal(err)
		}
		pass(settled)
		source.uses(t, second)
		if !source.current.Load().authorities[0].Equal(renewed.Cert) {
			t.Error("the CA is still the old one")
		}
		says(t, log, "level=INFO", "using the new ones", "CN=wxbroker", "spiffe://prod/ns/shop/sa/web", "broker.example.com",
			second.Serial(), second.Leaf.NotAfter.Format("2006-01-02T15:04:05"), "cas=1")
	})
}

// TestRewriteInPlace: cert-manager's way, and that of most scripts.
func TestRewriteInPlace(t *testing.T) {
	for _, gap := range []time.Duration{0, time.Second, 3 * time.Second, 9900 * time.Millisecond} {
		t.Run("with a gap of "+gap.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				authority := tlstest.NewCA(t, "ours")
				first, second := authority.Issue(t), authority.Issue(t)
				files := lay(t, first)
				source := load(t, files)
				log := run(t, source)
				pass(1500 * time.Millisecond)

				write(t, files.Cert, second.Cert)
				pass(gap)
				source.uses(t, first)
				says(t, log)
				write(t, files.Key, second.Key)
				pass(settled)
				source.uses(t, second)
				says(t, log, "using the new ones", second.Serial())
			})
		})
	}
}

// TestSameTimeAndSize: the file system's times and sizes do not matter.
func TestSameTimeAndSize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		authority := tlstest.NewCA(t, "ours")
		first := authority.Issue(t)
		second := authority.Issue(t)
		for len(second.Cert) != len(first.Cert) || len(second.Key) != len(first.Key) {
			second = authority.Issue(t)
		}
		files := lay(t, first)
		then := time.Now()
		touch := func() {
			for _, path := range []string{files.Cert, files.Key} {
				if err := os.Chtimes(path, then, then); err != nil {
					t.Fatal(err)
				}
			}
		}
		touch()
		source := load(t, files)
		run(t, source)
		write(t, files.Cert, second.Cert)
		write(t, files.Key, second.Key)
		touch()
		pass(settled)
		source.uses(t, second)
	})
}

// TestHalfOfTheCAs: a CA file that is being written is, for a moment, a sound file with
// fewer CAs. Nobody is shut out meanwhile.
func TestHalfOfTheCAs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second, third := tlstest.NewCA(t, "first"), tlstest.NewCA(t, "second"), tlstest.NewCA(t, "third")
		files := lay(t, tlstest.Pair{}, first, second)
		source := load(t, files)
		log := run(t, source)
		pass(time.Second)
		for range 20 {
			write(t, files.CA, bundle(first))
			pass(1900 * time.Millisecond) // there is one look
			write(t, files.CA, bundle(first, second, third))
			if n := len(source.current.Load().authorities); n != 2 && n != 3 {
				t.Fatalf("%d CAs are in use", n)
			}
			pass(4100 * time.Millisecond)
		}
		if n := len(source.current.Load().authorities); n != 3 {
			t.Errorf("%d CAs are in use in the end", n)
		}
		says(t, log, "cas=3")
	})
}
