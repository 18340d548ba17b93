package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func contents(t *testing.T, path string) []byte {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func lay(t *testing.T, path string, content []byte, mode fs.FileMode) {
	t.Helper()
	if err := errors.Join(os.WriteFile(path, content, mode), os.Chmod(path, mode)); err != nil {
		t.Fatal(err)
	}
}

// TestKilledWhileRewriting: a broker is killed at any instant while it rewrites
// the database. The next one opens it with all its values, and removes the
// unfinished file.
func TestKilledWhileRewriting(t *testing.T) {
	for _, tt := range []struct{ name, before, now string }{
		{"sealing", "", "a"},
		{"changing the key", "a", "b a"},
	} {
		path := filepath.Join(t.TempDir(), "wxbroker.db")
		fill(t, path, tt.before)
		before := contents(t, path)
		shut(t, openWith(t, path, tt.now))
		after := contents(t, path)
		page := os.Getpagesize()
		for cut := 0; cut <= len(after)+1; cut += page / 2 {
			name := fmt.Sprintf("%s, %d of %d bytes written", tt.name, min(cut, len(after)), len(after))
			// The next start may also be with the keys of before.
			for _, next := range []string{tt.now, tt.before} {
				t.Run(name+", then "+next, func(t *testing.T) {
					dir := t.TempDir()
					path := filepath.Join(dir, "wxbroker.db")
					lay(t, path, before, 0o600)
					lay(t, path+".rewriting", after[:min(cut, len(after))], 0o600)
					s := openWith(t, path, next)
					defer s.Close()
					checkFilled(t, s, true)
					if s.Aside != nil || s.Unreadable != nil || len(s.Warnings) > 0 || lies(t, dir) != "wxbroker.db" {
						t.Errorf("aside %v, unreadable %v, warnings %q; there lie %s", s.Aside, s.Unreadable, s.Warnings, lies(t, dir))
					}
				})
			}
		}
	}
}

// obstruct makes it impossible to rewrite the database at path.
func obstruct(t *testing.T, path string) (mend func()) {
	t.Helper()
	if err := os.MkdirAll(path+".rewriting/full", 0o700); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.RemoveAll(path + ".rewriting"); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTheOldKeyIsUsedWhereRewritingFails: rotating a key is no reason for an
// outage.
func TestTheOldKeyIsUsedWhereRewritingFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "wxbroker.db")
	fill(t, path, "a")
	mend := obstruct(t, path)
	s := openWith(t, path, "b a")
	if w := s.Warnings; len(w) != 2 || !strings.Contains(w[0], "removing what is left") || !strings.Contains(w[1], "still sealed with an older key") {
		t.Errorf("warnings %q", w)
	}
	checkFilled(t, s, true)
	put(t, s, "wx1", "access_token", token)
	shut(t, s)
	s = openWith(t, path, "a")
	checkFilled(t, s, true)
	shut(t, s)

	mend()
	s = openWith(t, path, "b a")
	checkFilled(t, s, true)
	if len(s.Warnings) > 0 {
		t.Errorf("warnings %q", s.Warnings)
	}
	shut(t, s)
	shut(t, openWith(t, path, "b"))
}

// TestNothingIsServedUnsealed, and nothing is thrown away, where rewriting fails.
func TestNothingIsServedUnsealed(t *testing.T) {
	for _, tt := range []struct{ name, before string }{{"not sealed", ""}, {"sealed with an unknown key", "b"}} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "wxbroker.db")
			fill(t, path, tt.before)
			mend := obstruct(t, path)
			if _, err := tryOpen(path, keys(t, "a")); err == nil || !strings.Contains(err.Error(), "sealing it: ") || !strings.Contains(err.Error(), "or remove the database") {
				t.Errorf("error %v", err)
			}
			mend()
			s := openWith(t, path, tt.before)
			defer s.Close()
			checkFilled(t, s, true)
		})
	}
}

// TestTheFileBehindALinkIsSealed, and the link stays a link.
func TestTheFileBehindALinkIsSealed(t *testing.T) {
	there, here := t.TempDir(), t.TempDir()
	target, path := filepath.Join(there, "real.db"), filepath.Join(here, "wxbroker.db")
	fill(t, target, "")
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
	s := openWith(t, path, "a")
	defer s.Close()
	checkFilled(t, s, true)
	if hits := found(t, there, token, ticket, stale); len(hits) > 0 {
		t.Errorf("the file behind the link shows %q", hits)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode().Type() != fs.ModeSymlink {
		t.Errorf("the link is gone: %v, %v", info.Mode(), err)
	}
}

// TestModesAreTightened: an older broker, or a person, may have made files that
// others can read.
func TestModesAreTightened(t *testing.T) {
	for _, names := range []string{"", "a"} {
		path := filepath.Join(t.TempDir(), "wxbroker.db")
		fill(t, path, names)
		for _, file := range []string{path, path + ".lock"} {
			if err := os.Chmod(file, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		shut(t, openWith(t, path, names))
		for _, file := range []string{path, path + ".lock"} {
			if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("with keys %q %s has mode %v, %v", names, filepath.Base(file), info.Mode(), err)
			}
		}
		shut(t, openWith(t, path, "a b"))
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("rewritten it has mode %v, %v", info.Mode(), err)
		}
	}
}

// TestSetAsideIsWarnedOf: a damaged database stays as it is. It may be older than
// the sealing, and hold plain text.
func TestSetAsideIsWarnedOf(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "wxbroker.db")
	fill(t, path, "")
	lay(t, path, bytes.ReplaceAll(contents(t, path), []byte(ticket), []byte(strings.ToUpper(ticket))), 0o600)
	lay(t, filepath.Join(dir, "wxbroker.db2.damaged-20260101"), []byte("of another"), 0o600)
	s := openWith(t, path, "")
	if s.Aside == nil || len(s.Warnings) > 0 {
		t.Fatalf("aside %v, warnings %q", s.Aside, s.Warnings)
	}
	aside := s.Aside.Path
	shut(t, s)

	for _, names := range []string{"a", "a", "b"} {
		s = openWith(t, path, names)
		if w := s.Warnings; len(w) != 1 || !strings.Contains(w[0], aside) || !strings.Contains(w[0], "delete") || strings.Contains(w[0], "db2") {
			t.Errorf("with key %s: warnings %q, want one that names %s", names, w, aside)
		}
		shut(t, s)
	}
	if err := os.Remove(aside); err != nil {
		t.Fatal(err)
	}
	s = openWith(t, path, "b")
	if len(s.Warnings) > 0 {
		t.Errorf("warnings %q of what is not there", s.Warnings)
	}
	shut(t, s)
}

// TestDamagedAndSealed: a sealed database that is damaged is set aside as any
// other, and the new one is sealed.
func TestDamagedAndSealed(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "wxbroker.db")
	fill(t, path, "a")
	lay(t, path, contents(t, path)[:3*os.Getpagesize()], 0o600)
	s := openWith(t, path, "a")
	if s.Aside == nil || s.Unreadable != nil {
		t.Errorf("aside %v, unreadable %v", s.Aside, s.Unreadable)
	}
	put(t, s, "wx1", "access_token", token)
	shut(t, s)
	if hits := found(t, dir, token); len(hits) > 0 {
		t.Errorf("what took its place shows %q", hits)
	}
}
