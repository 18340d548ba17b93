package store

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestRewritingThatFailsHalfway: the old database stays as it was and stays open,
// and no other file is left beside it.
func TestRewritingThatFailsHalfway(t *testing.T) {
	path := filepath.Join(t.TempDir(), "wxbroker.db")
	s, _, err := Open(path, Keys{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Put(Values{{"wx1", "access_token"}: []byte("86_token")}); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	key, err := newSealer(aKey)
	if err != nil {
		t.Fatal(err)
	}
	// The database is not sealed. Read as if it were, the first value fails.
	if err := rewrite(path, s.current.Load().DB, key, key); !errors.Is(err, errSeal) {
		t.Errorf("error %v", err)
	}
	after, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the database is not what it was: %v", err)
	}
	if _, err := os.Lstat(path + rewriting); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("of the new one there is something left: %v", err)
	}
	if all, err := s.All("wx1"); err != nil || string(all["access_token"]) != "86_token" {
		t.Errorf("All(wx1) = %q, %v", all, err)
	}
}
