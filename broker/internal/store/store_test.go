package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/wxbroker/wxbroker/broker/internal/store"
)

func open(t *testing.T, path string) *store.Store {
	t.Helper()
	s, err := store.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestValuesSurviveReopening(t *testing.T) {
	path := filepath.Join(t.TempDir(), "wxbroker.db")
	s := open(t, path)
	for _, put := range [][3]string{{"wx1", "a", "old"}, {"wx1", "a", "new"}, {"wx1", "b", "2"}, {"wx2", "a", "other"}} {
		if err := s.Put(put[0], put[1], []byte(put[2])); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path)
	defer s.Close()
	got, err := s.All("wx1")
	if err != nil || len(got) != 2 || string(got["a"]) != "new" || string(got["b"]) != "2" {
		t.Errorf("All(wx1) = %q, %v", got, err)
	}
	if none, err := s.All("wx3"); err != nil || len(none) != 0 {
		t.Errorf("All of an unknown appid = %q, %v", none, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestOpenRefusesADatabaseInUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "wxbroker.db")
	s := open(t, path)
	defer s.Close()
	start := time.Now()
	_, err := store.Open(path)
	if !errors.Is(err, store.ErrHeld) || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v, want ErrHeld naming %s", err, path)
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("took %v", took)
	}
}

func TestOpenRefusesANewerSchema(t *testing.T) {
	path := filepath.Join(t.TempDir(), "wxbroker.db")
	if err := open(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error { return tx.Bucket([]byte("meta")).Put([]byte("schema"), []byte("2")) })
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(path); err == nil || !strings.Contains(err.Error(), `schema "2"`) {
		t.Errorf("error %v", err)
	}
}

func TestOpenSaysWhatIsWrongWithThePath(t *testing.T) {
	path := filepath.Join(t.TempDir(), "missing", "wxbroker.db")
	if _, err := store.Open(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v", err)
	}
}
