package localkey

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestLoad(t *testing.T) {
	write := func(t *testing.T, content string, mode os.FileMode) string {
		t.Helper()
		path := filepath.Join(t.TempDir(), "keys")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil { // whatever the umask
			t.Fatal(err)
		}
		return path
	}
	tests := []struct {
		name          string
		path          func(*testing.T) string
		worldReadable bool
		says          string
	}{
		{"private", func(t *testing.T) string { return write(t, "9d1e", 0o600) }, false, ""},
		{"of a group", func(t *testing.T) string { return write(t, "9d1e", 0o640) }, false, ""},
		{"readable by all", func(t *testing.T) string { return write(t, "9d1e", 0o644) }, true, ""},
		{"missing", func(t *testing.T) string { return filepath.Join(t.TempDir(), "keys") }, false, "no such file"},
		{"a directory", func(t *testing.T) string { return t.TempDir() }, false, "not a regular file"},
		{"empty", func(t *testing.T) string { return write(t, "", 0o600) }, false, "the file is empty"},
		{"only a comment", func(t *testing.T) string { return write(t, "# none", 0o600) }, false, "holds no key"},
		{"too large", func(t *testing.T) string { return write(t, strings.Repeat("#\n", 32<<10)+"9", 0o600) }, false, "more than 65536 bytes"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := test.path(t)
			source, worldReadable, err := Load(t.Context(), path)
			if worldReadable != test.worldReadable {
				t.Errorf("world-readable is %v", worldReadable)
			}
			if test.says == "" {
				if err != nil {
					t.Fatal(err)
				}
				if _, ok := source.Current().Match("9d1e"); !ok {
					t.Error("no key")
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), path) {
				t.Errorf("error %v, want one that names the file and says %q", err, test.says)
			}
		})
	}
}

// matches checks which of two keys unlock.
func matches(t *testing.T, s *Source, first, second bool) {
	t.Helper()
	for key, want := range map[string]bool{"9d1e": first, "77aa": second} {
		if _, ok := s.Current().Match(key); ok != want {
			t.Errorf("%s matches: %v", key, ok)
		}
	}
}

// A key that is removed unlocks for some seconds more, the last key too. A key that
// is added unlocks some seconds later. A file that cannot be used changes nothing.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "keys")
		put := func(content string) {
			t.Helper()
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		put("billing 9d1e")
		source, _, err := Load(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer // read while Run sleeps
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); source.Run(ctx, slog.New(slog.NewTextHandler(&log, nil))) }()
		defer func() { stop(); <-ended }()
		says := func(want ...string) {
			t.Helper()
			lines := strings.Split(strings.TrimSpace(log.String()), "\n")
			if log.Len() == 0 {
				lines = nil
			}
			if len(lines) != len(want) {
				t.Errorf("logged %q, want %q", lines, want)
				return
			}
			for i := range lines {
				if !strings.Contains(lines[i], want[i]) || strings.Contains(lines[i], "9d1e") || strings.Contains(lines[i], "77aa") {
					t.Errorf("logged %q, want %q", lines[i], want[i])
				}
			}
			log.Reset()
		}
		pass := func(d time.Duration) { time.Sleep(d); synctest.Wait() }

		pass(time.Minute)
		matches(t, source, true, false)
		put("billing 9d1e\nreports 77aa\n")
		pass(5 * time.Second)
		matches(t, source, true, true)
		says("keys=2")

		for _, bad := range []string{"", "billing 9d1e 77aa", "77aa\n9d1e"} {
			put(bad)
			pass(time.Minute)
			matches(t, source, true, true)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		matches(t, source, true, true)
		says("the file is empty", "line 1 has more than a name and a key", "line 2: a second key", "no such file")

		put("reports 77aa\n")
		if err := os.Chmod(path, 0o644); err != nil {
			t.Fatal(err)
		}
		pass(5 * time.Second)
		matches(t, source, false, true)
		says("keys=1", "can be read by every user", "can be used again")

		// Without its last key the file unlocks nothing, whatever happens to the file
		// after that.
		for _, none := range []string{"# reports 77aa\n", "\n"} {
			put(none)
			pass(5 * time.Second)
			matches(t, source, false, false)
			says("level=WARN msg=\"the local key file holds no key any more")
		}
		put("")
		pass(time.Minute)
		matches(t, source, false, false)
		says("the file is empty")
		put("billing 9d1e\n")
		pass(5 * time.Second)
		matches(t, source, true, false)
		says("keys=1", "can be read by every user", "can be used again")
	})
}

func TestNoSource(t *testing.T) {
	var none *Source
	if none.Current().Any() {
		t.Error("there are keys in nothing")
	}
	matches(t, none, false, false)
}
