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

func open(t *testing.T, path string) *openStore {
	t.Helper()
	s, err := tryOpen(path, store.Keys{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestValuesSurviveReopening(t *testing.T) {
	path := filepath.Join(t.TempDir(), "wxbroker.db")
	s := open(t, path)
	for _, put := range [][3]string{{"wx1", "a", "old"}, {"wx1", "a", "new"}, {"wx1", "b", "2"}, {"wx2", "a", "other"}} {
		if err := s.Put(store.Values{{put[0], put[1]}: []byte(put[2])}); err != nil {
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

// TestOpenRefusesADatabaseInUse, whatever has become of its file meanwhile. Two
// brokers that fetch tokens for the same accounts end each other's tokens.
func TestOpenRefusesADatabaseInUse(t *testing.T) {
	for name, befalls := range map[string]func(path string) error{
		"in its place": func(string) error { return nil },
		"moved away":   func(path string) error { return os.Rename(path, path+".moved") },
		"removed":      os.Remove,
		"replaced":     func(path string) error { return errors.Join(os.Remove(path), os.WriteFile(path, nil, 0o600)) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "wxbroker.db")
			s := open(t, path)
			defer s.Close()
			if err := befalls(path); err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			second, err := tryOpen(path, store.Keys{})
			if !errors.Is(err, store.ErrHeld) || !strings.Contains(err.Error(), path) {
				t.Errorf("error %v, want ErrHeld naming %s", err, path)
			}
			if took := time.Since(start); took > time.Second {
				t.Errorf("took %v", took)
			}
			if err == nil {
				_ = second.Close()
			}
		})
	}
}

// TestTheFirstSchemaIsBroughtUp: a database without checksums keeps its values.
func TestTheFirstSchemaIsBroughtUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "wxbroker.db")
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		meta, err := tx.CreateBucket([]byte("meta"))
		accounts, err2 := tx.CreateBucket([]byte("accounts"))
		if err := errors.Join(err, err2); err != nil {
			return err
		}
		account, err := accounts.CreateBucket([]byte("wx1"))
		if err != nil {
			return err
		}
		return errors.Join(meta.Put([]byte("schema"), []byte("1")), account.Put([]byte("a"), []byte("old")), account.Put([]byte("b"), nil))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	for range 2 { // brought up, and opened as it is then
		s := open(t, path)
		got, err := s.All("wx1")
		if err != nil || len(got) != 2 || string(got["a"]) != "old" || len(got["b"]) != 0 || s.Aside != nil {
			t.Errorf("All(wx1) = %q, %v; aside %v", got, err, s.Aside)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestATurnedBitIsNotHandedOut: bbolt has no checksum of values.
func TestATurnedBitIsNotHandedOut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "wxbroker.db")
	s := open(t, path)
	err := s.Put(store.Values{{"wx1", "jsapi_ticket"}: []byte("kgt8ON7yVITDhtdwci0qef")})
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	raw = []byte(strings.ReplaceAll(string(raw), "kgt8ON7y", "kgt8OO7y"))
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, path)
	defer s.Close()
	if s.Aside == nil {
		t.Error("not set aside")
	}
	if got, err := s.All("wx1"); err != nil || len(got) != 0 {
		t.Errorf("All(wx1) = %q, %v", got, err)
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
	err = db.Update(func(tx *bolt.Tx) error { return tx.Bucket([]byte("meta")).Put([]byte("schema"), []byte("4")) })
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := tryOpen(path, store.Keys{}); err == nil || !strings.Contains(err.Error(), `schema "4"`) {
		t.Errorf("error %v", err)
	}
}

func TestOpenSaysWhatIsWrongWithThePath(t *testing.T) {
	path := filepath.Join(t.TempDir(), "missing", "wxbroker.db")
	if _, err := tryOpen(path, store.Keys{}); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v", err)
	}
}
