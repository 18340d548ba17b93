package store_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/wxbroker/wxbroker/broker/internal/store"
)

// keys returns the keys of these names, a space between them, in that order.
func keys(t *testing.T, names string) store.Keys {
	t.Helper()
	if names == "" {
		return store.Keys{}
	}
	var file strings.Builder
	for name := range strings.FieldsSeq(names) {
		fmt.Fprintf(&file, "%x\n", sha256.Sum256([]byte(name)))
	}
	path := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(path, []byte(file.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	loaded, exposed, err := store.LoadKeys(t.Context(), path)
	if err != nil || exposed {
		t.Fatal(exposed, err)
	}
	return loaded
}

// openStore is an open store and what opening it found out.
type openStore struct {
	*store.Store
	store.Findings
}

func tryOpen(path string, keys store.Keys) (*openStore, error) {
	s, found, err := store.Open(path, keys)
	if err != nil {
		return nil, err
	}
	return &openStore{s, found}, nil
}

func openWith(t *testing.T, path, names string) *openStore {
	t.Helper()
	s, err := tryOpen(path, keys(t, names))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t *testing.T, s *openStore, appid, key, value string) {
	t.Helper()
	if err := s.Put(store.Values{{appid, key}: []byte(value)}); err != nil {
		t.Fatal(err)
	}
}

func shut(t *testing.T, s *openStore) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

const (
	token  = "86_now-AbCdEfGh+token"
	ticket = "kgt8ON7yVITDhtdwci0qe/ticket"
	stale  = "85_before-that+token" // replaced, and left in a free page
)

// fill makes a database at path with two values, and one more that was replaced.
func fill(t *testing.T, path, names string) {
	t.Helper()
	s := openWith(t, path, names)
	put(t, s, "wx1", "access_token", stale)
	put(t, s, "wx1", "access_token", token)
	put(t, s, "wx2", "jsapi_ticket", ticket)
	shut(t, s)
}

// checkFilled checks that the values that fill wrote are there if kept, and that
// there is nothing otherwise.
func checkFilled(t *testing.T, s *openStore, kept bool) {
	t.Helper()
	one, err := s.All("wx1")
	two, err2 := s.All("wx2")
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	switch {
	case kept && (len(one) != 1 || string(one["access_token"]) != token || len(two) != 1 || string(two["jsapi_ticket"]) != ticket):
		t.Errorf("it has %q and %q", one, two)
	case !kept && len(one)+len(two) > 0:
		t.Errorf("it still has %q and %q", one, two)
	}
}

// found returns which of the values are in the files of dir, in any form.
func found(t *testing.T, dir string, values ...string) (hits []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		raw, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		for _, value := range values {
			for _, form := range []string{value, hex.EncodeToString([]byte(value)), base64.RawStdEncoding.EncodeToString([]byte(value))} {
				if bytes.Contains(raw, []byte(form)) {
					hits = append(hits, value)
				}
			}
		}
	}
	return hits
}

// lies returns the names of the files in dir, without the database's lock.
func lies(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if e.Name() != "wxbroker.db.lock" {
			names = append(names, e.Name())
		}
	}
	return strings.Join(names, " ")
}

// stored returns everything that the closed database at path holds, as it is
// stored, by appid and key.
func stored(t *testing.T, path string) map[[2]string][]byte {
	t.Helper()
	all := map[[2]string][]byte{}
	edit(t, path, func(_, accounts *bolt.Bucket) error {
		return accounts.ForEachBucket(func(appid []byte) error {
			return accounts.Bucket(appid).ForEach(func(key, value []byte) error {
				all[[2]string{string(appid), string(key)}] = bytes.Clone(value)
				return nil
			})
		})
	})
	return all
}

// edit changes a closed database behind the store's back.
func edit(t *testing.T, path string, change func(meta, accounts *bolt.Bucket) error) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		return change(tx.Bucket([]byte("meta")), tx.Bucket([]byte("accounts")))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

// summed puts a checksum before a sealed value, as anybody can who writes the
// file.
func summed(appid, key string, sealed []byte) []byte {
	sum := crc32.Checksum([]byte(appid+"\x00"+key+"\x00"+string(sealed)), crc32.MakeTable(crc32.Castagnoli))
	return append(binary.BigEndian.AppendUint32(nil, sum), sealed...)
}

// TestOpenBySeal: each combination of the key that a database is sealed with and
// the keys that there are, with values in the database and without any.
func TestOpenBySeal(t *testing.T) {
	for _, tt := range []struct {
		name, before, now string
		lost              bool   // nothing can be read
		refuses           string // why it is not opened
	}{
		{name: "no keys, as ever"},
		{name: "a key for the first time", now: "a"},
		{name: "two keys for the first time", now: "a b"},
		{name: "the same key", before: "a", now: "a"},
		{name: "a key for later", before: "a", now: "a b"},
		{name: "a new key before the old one", before: "a", now: "b a"},
		{name: "a new key before two old ones", before: "a", now: "c b a"},
		{name: "the old key is gone", before: "a", now: "b", lost: true},
		{name: "none of many", before: "a", now: "b c d", lost: true},
		{name: "no keys any more", before: "a", refuses: "name the file with its key under encryption_key_file, or remove the database"},
	} {
		for _, empty := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, empty %v", tt.name, empty), func(t *testing.T) {
				dir := t.TempDir()
				path := filepath.Join(dir, "wxbroker.db")
				if empty {
					shut(t, openWith(t, path, tt.before))
				} else {
					fill(t, path, tt.before)
				}
				before := stored(t, path)
				if hits := found(t, dir, token, ticket, stale); len(hits) != 0 != (!empty && tt.before == "") {
					t.Fatalf("sealed with %q it shows %q", tt.before, hits)
				}
				s, err := tryOpen(path, keys(t, tt.now))
				if tt.refuses != "" {
					if err == nil || !strings.Contains(err.Error(), tt.refuses) || !strings.Contains(err.Error(), path) {
						t.Errorf("error %v, want %q", err, tt.refuses)
					}
					if after := stored(t, path); !maps.EqualFunc(before, after, bytes.Equal) {
						t.Error("what was not opened is not what it was")
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if gone := s.Unreadable; (gone != nil) != tt.lost || s.Aside != nil || len(s.Warnings) > 0 {
					t.Errorf("unreadable %v, aside %v, warnings %q", gone, s.Aside, s.Warnings)
				}
				checkFilled(t, s, !empty && !tt.lost)
				put(t, s, "wx1", "access_token", token)
				put(t, s, "wx2", "jsapi_ticket", ticket)
				shut(t, s)

				hits := found(t, dir, token, ticket, stale)
				if (len(hits) == 0) != (tt.now != "") {
					t.Errorf("sealed with %q it shows %q", tt.now, hits)
				}
				first, _, _ := strings.Cut(tt.now, " ")
				if first != tt.before {
					for at, sealed := range before {
						if len(found(t, dir, string(sealed))) > 0 {
							t.Errorf("what %s was before is still in the file", at)
						}
					}
				}
				if names := lies(t, dir); names != "wxbroker.db" {
					t.Errorf("in the directory lie %s", names)
				}
				s = openWith(t, path, first) // it needs no other key any more
				checkFilled(t, s, true)
				if s.Unreadable != nil || s.Aside != nil {
					t.Errorf("opened again: unreadable %v, aside %v", s.Unreadable, s.Aside)
				}
				shut(t, s)
			})
		}
	}
}

// TestTheFirstSchemaIsSealed: values without checksums get them when they are
// sealed.
func TestTheFirstSchemaIsSealed(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "wxbroker.db")
	fill(t, path, "")
	edit(t, path, func(meta, accounts *bolt.Bucket) error {
		return errors.Join(
			meta.Put([]byte("schema"), []byte("1")),
			accounts.Bucket([]byte("wx1")).Put([]byte("access_token"), []byte(token)),
			accounts.Bucket([]byte("wx2")).Put([]byte("jsapi_ticket"), []byte(ticket)),
		)
	})
	s := openWith(t, path, "a")
	defer s.Close()
	checkFilled(t, s, true)
	if hits := found(t, dir, token, ticket, stale); len(hits) > 0 {
		t.Errorf("it shows %q", hits)
	}
}

// TestChangesOfASealedFileAreNoticed, also those of somebody who knows how
// checksums are made. A file that is replaced as a whole cannot be noticed.
func TestChangesOfASealedFileAreNoticed(t *testing.T) {
	const there = "does not open"
	var foreign []byte
	other := filepath.Join(t.TempDir(), "other.db")
	fill(t, other, "b")
	edit(t, other, func(meta, _ *bolt.Bucket) error {
		foreign = bytes.Clone(meta.Get([]byte("sealed")))
		return nil
	})
	move := func(fromID, fromKey, toID, toKey string) func(_, accounts *bolt.Bucket) error {
		return func(_, accounts *bolt.Bucket) error {
			sealed := accounts.Bucket([]byte(fromID)).Get([]byte(fromKey))[4:]
			return accounts.Bucket([]byte(toID)).Put([]byte(toKey), summed(toID, toKey, sealed))
		}
	}
	schema := func(number string) func(meta, _ *bolt.Bucket) error {
		return func(meta, _ *bolt.Bucket) error { return meta.Put([]byte("schema"), []byte(number)) }
	}
	for _, tt := range []struct {
		name   string
		change func(meta, accounts *bolt.Bucket) error
		aside  string // why it is set aside, "" if it is not
	}{
		{"nothing", func(_, _ *bolt.Bucket) error { return nil }, ""},
		{"a value in its place", move("wx1", "access_token", "wx1", "access_token"), ""},
		{"a value of another appid", move("wx1", "access_token", "wx2", "access_token"), there},
		{"a value of another key", move("wx1", "access_token", "wx1", "jsapi_ticket"), there},
		{"a value in plain text", func(_, accounts *bolt.Bucket) error {
			return accounts.Bucket([]byte("wx1")).Put([]byte("access_token"), summed("wx1", "access_token", []byte(token)))
		}, there},
		{"an empty value", func(_, accounts *bolt.Bucket) error {
			return accounts.Bucket([]byte("wx1")).Put([]byte("access_token"), summed("wx1", "access_token", nil))
		}, there},
		{"a bit of a value", func(_, accounts *bolt.Bucket) error {
			sealed := bytes.Clone(accounts.Bucket([]byte("wx1")).Get([]byte("access_token"))[4:])
			sealed[15] ^= 1
			return accounts.Bucket([]byte("wx1")).Put([]byte("access_token"), summed("wx1", "access_token", sealed))
		}, there},
		{"what recognises the key, sealed as a value", func(meta, accounts *bolt.Bucket) error {
			return accounts.Bucket([]byte("wx1")).Put([]byte("access_token"), summed("wx1", "access_token", meta.Get([]byte("sealed"))[4:]))
		}, there},
		{"a bit of a checksum", func(_, accounts *bolt.Bucket) error {
			value := bytes.Clone(accounts.Bucket([]byte("wx1")).Get([]byte("access_token")))
			value[0] ^= 1
			return accounts.Bucket([]byte("wx1")).Put([]byte("access_token"), value)
		}, "not what was written"},
		{"what recognises the key", func(meta, _ *bolt.Bucket) error {
			check := bytes.Clone(meta.Get([]byte("sealed")))
			check[9] ^= 1
			return meta.Put([]byte("sealed"), check)
		}, "not what was written"},
		{"nothing recognises the key", func(meta, _ *bolt.Bucket) error { return meta.Delete([]byte("sealed")) }, "says that it is not"},
		{"a schema that is not sealed", schema("2"), "says that it is not"},
		{"a schema without checksums", schema("1"), "says that it is not"},
		{"no schema", func(meta, _ *bolt.Bucket) error { return meta.Delete([]byte("schema")) }, "does not say its schema"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "wxbroker.db")
			fill(t, path, "a")
			edit(t, path, tt.change)
			s := openWith(t, path, "a")
			defer s.Close()
			aside := s.Aside
			if aside != nil != (tt.aside != "") || s.Unreadable != nil || aside != nil && !strings.Contains(aside.Reason.Error(), tt.aside) {
				t.Errorf("aside %v, want %q; unreadable %v", aside, tt.aside, s.Unreadable)
			}
			checkFilled(t, s, aside == nil)
		})
	}
	t.Run("what recognises another key", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "wxbroker.db")
		fill(t, path, "a")
		edit(t, path, func(meta, _ *bolt.Bucket) error { return meta.Put([]byte("sealed"), foreign) })
		s := openWith(t, path, "a")
		defer s.Close()
		if s.Unreadable == nil || s.Aside != nil {
			t.Errorf("unreadable %v, aside %v", s.Unreadable, s.Aside)
		}
	})
	t.Run("a schema that is sealed, of what is not", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "wxbroker.db")
		fill(t, path, "")
		edit(t, path, schema("3"))
		s := openWith(t, path, "")
		defer s.Close()
		if s.Aside == nil {
			t.Error("not set aside")
		}
	})
}

// TestNoNonceTwice: two values under one nonce can both be read without the key.
func TestNoNonceTwice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "wxbroker.db")
	s := openWith(t, path, "a")
	const values = 300
	for i := range values {
		put(t, s, "wx1", fmt.Sprint(i), token)
	}
	shut(t, s)
	seen := map[string]bool{}
	look := func() {
		for _, value := range stored(t, path) {
			seen[string(value[4:16])] = true
		}
	}
	look()
	s = openWith(t, path, "a")
	put(t, s, "wx1", "0", token) // the same value in the same place
	shut(t, s)
	look()
	if len(seen) != values+1 {
		t.Errorf("%d nonces for %d values", len(seen), values+1)
	}
	shut(t, openWith(t, path, "b a"))
	look()
	if len(seen) != values+1+values {
		t.Errorf("%d nonces for %d values after rewriting", len(seen), values+1+values)
	}
}
