package store_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/wxbroker/wxbroker/broker/internal/store"
)

// alone runs the calling test once more, in a process of its own. There it may
// change what all tests of a process share, such as resource limits. alone reports
// whether this is that process.
func alone(t *testing.T) bool {
	t.Helper()
	const name = "WXBROKER_TEST_ALONE"
	if os.Getenv(name) == t.Name() {
		return true
	}
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.count=1", "-test.v")
	child.Env = append(os.Environ(), name+"="+t.Name())
	said, err := child.CombinedOutput()
	if err != nil || !bytes.Contains(said, []byte("--- PASS: "+t.Name())) {
		t.Errorf("%v:\n%s", err, said)
	}
	return false
}

// limit lets the kernel refuse what this process writes to files (EFBIG), as a
// full volume does (ENOSPC). With full false it lifts that.
func limit(t *testing.T, full bool) {
	t.Helper()
	var all syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &all); err != nil {
		t.Fatal(err)
	}
	if all.Cur = all.Max; full {
		all.Cur = 0
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &all); err != nil {
		t.Fatal(err)
	}
}

// TestAFullVolume: if there is no database to go on with and no room for a new
// one, the store opens empty and refuses every Put. It makes a database once there
// is room. A sound database opens as ever.
func TestAFullVolume(t *testing.T) {
	if !alone(t) {
		return
	}
	for _, tt := range []struct {
		name    string
		prepare func(t *testing.T, path string)
		keys    string
		full    bool   // the store has nothing
		aside   bool   // what was there is set aside
		foreign bool   // what was there has another key
		refuses string // the store does not open
	}{
		{name: "absent", prepare: func(*testing.T, string) {}, full: true},
		{name: "absent, with a key", prepare: func(*testing.T, string) {}, keys: "a", full: true},
		{name: "empty", prepare: func(t *testing.T, path string) { lay(t, path, nil, 0o600) }, full: true},
		{name: "damaged", prepare: func(t *testing.T, path string) { lay(t, path, bytes.Repeat([]byte("x"), 1<<16), 0o600) }, full: true, aside: true},
		{name: "sealed with another key", prepare: func(t *testing.T, path string) { fill(t, path, "b") }, keys: "a", full: true, foreign: true},
		{name: "sound", prepare: func(t *testing.T, path string) { fill(t, path, "") }},
		{name: "sound and sealed", prepare: func(t *testing.T, path string) { fill(t, path, "a") }, keys: "a"},
		{name: "sealed with an older key", prepare: func(t *testing.T, path string) { fill(t, path, "b") }, keys: "a b"},
		{name: "not sealed yet", prepare: func(t *testing.T, path string) { fill(t, path, "") }, keys: "a", refuses: "sealing it: "},
		{name: "no directory", prepare: func(t *testing.T, path string) {
			if err := os.Remove(filepath.Dir(path)); err != nil {
				t.Fatal(err)
			}
		}, refuses: "no such file or directory"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "wxbroker.db")
			tt.prepare(t, path)
			with := keys(t, tt.keys)
			limit(t, true)
			defer limit(t, false)
			s, err := tryOpen(path, with)
			if tt.refuses != "" {
				if err == nil || !strings.Contains(err.Error(), tt.refuses) {
					t.Errorf("error %v, want %q", err, tt.refuses)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if (s.Full != nil) != tt.full || (s.Aside != nil) != tt.aside || (s.Unreadable != nil) != tt.foreign || s.Lost() != tt.full {
				t.Errorf("full %v, aside %v, unreadable %v", s.Full, s.Aside, s.Unreadable)
			}
			if s.Full != nil && !errors.Is(s.Full, syscall.EFBIG) {
				t.Errorf("full: %v", s.Full)
			}
			checkFilled(t, s, !tt.full)
			value := store.Values{{AppID: "wx1", Key: "access_token"}: []byte(token)}
			if err := s.Put(value); err == nil {
				t.Fatal("a value was stored where there is no room")
			}
			if _, err := tryOpen(path, with); !errors.Is(err, store.ErrHeld) {
				t.Errorf("a second broker: %v", err)
			}

			limit(t, false)
			if tt.full { // the room is noticed when the volume is tried the next time
				if err := s.Put(value); err == nil {
					t.Error("the volume is tried again and again")
				}
				s.TryAgain()
			}
			if err := s.Put(value); err != nil {
				t.Fatalf("there is room: %v", err)
			}
			shut(t, s)
			if s, err = tryOpen(path, with); err != nil || s.Full != nil || s.Lost() {
				t.Fatalf("opened again: %+v, %v", s, err)
			}
			if all, err := s.All("wx1"); err != nil || string(all["access_token"]) != token {
				t.Errorf("opened again it has %q, %v", all, err)
			}
			shut(t, s)
		})
	}
}
