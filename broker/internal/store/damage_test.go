package store_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wxbroker/wxbroker/broker/internal/store"
)

// sample returns the bytes of a database with some history, so that it has free
// pages, branch pages and overflow pages. It is sealed with the keys of these
// names.
func sample(t *testing.T, names string) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "wxbroker.db")
	s := openWith(t, path, names)
	for round := range 3 {
		for account := range 12 {
			value := bytes.Repeat([]byte{byte('a' + round)}, 900*(account+1))
			for _, key := range []string{"access_token", "jsapi_ticket"} {
				if err := s.Put(store.Values{{fmt.Sprintf("wx%d", account), key}: value}); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// comesBack writes raw as a database and opens it. Whatever is in it, the store
// opens, works, and opens again. A file that was set aside is complete.
func comesBack(t *testing.T, name string, raw []byte, names string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "wxbroker.db")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := tryOpen(path, keys(t, names))
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	if s.Unreadable != nil {
		t.Errorf("%s: said to be sealed with another key", name)
	}
	if aside := s.Aside; aside != nil {
		if kept, err := os.ReadFile(aside.Path); err != nil || !bytes.Equal(kept, raw) || aside.Reason == nil {
			t.Errorf("%s: set aside as %s because of %v: %d bytes, %v", name, aside.Path, aside.Reason, len(kept), err)
		}
		// The reason is logged, so no part of a stored value may be in it, in hex
		// neither. The sample's values are the letters a, b and c.
		for _, part := range []string{"aaaaaa", "bbbbbb", "cccccc", "616161", "626262", "636363"} {
			if strings.Contains(aside.Reason.Error(), part) {
				t.Errorf("%s: the reason shows a stored value: %v", name, aside.Reason)
			}
		}
	}
	if err := s.Put(store.Values{{"wx0", "access_token"}: []byte("new")}); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	s = openWith(t, path, names)
	if got, err := s.All("wx0"); err != nil || string(got["access_token"]) != "new" || s.Aside != nil {
		t.Errorf("%s: after opening again %q, %v, aside %v", name, got, err, s.Aside)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestTruncatedDatabaseComesBack(t *testing.T) {
	for _, names := range []string{"", "a"} {
		raw := sample(t, names)
		page := os.Getpagesize()
		for size := 0; size <= len(raw); size += page {
			for _, cut := range []int{size - 1, size, size + 1} {
				if cut >= 0 && cut <= len(raw) {
					comesBack(t, fmt.Sprintf("with keys %q, the first %d of %d bytes", names, cut, len(raw)), raw[:cut], names)
				}
			}
		}
	}
}

func TestDamagedPagesComeBack(t *testing.T) {
	for _, names := range []string{"", "a"} {
		raw := sample(t, names)
		page := os.Getpagesize()
		random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a fixed seed: the same damage every time
		for start := 0; start+page <= len(raw); start += page {
			name := fmt.Sprintf("with keys %q, page %d", names, start/page)
			zeroed := bytes.Clone(raw)
			clear(zeroed[start : start+page])
			comesBack(t, name+" zeroed", zeroed, names)
			for try := range 3 {
				garbled := bytes.Clone(raw)
				for i := range page {
					garbled[start+i] = byte(random.Uint32())
				}
				comesBack(t, fmt.Sprintf("%s garbled %d", name, try), garbled, names)
				// Only the head of the page, where types, counts and pointers are.
				flipped := bytes.Clone(raw)
				for range 4 {
					flipped[start+random.IntN(160)] ^= byte(1 + random.IntN(255))
				}
				comesBack(t, fmt.Sprintf("%s flipped %d", name, try), flipped, names)
			}
		}
	}
}

// TestDamageShowsNoValue: the positions of keys are damaged so that the keys seem
// to lie inside a value. bbolt quotes such keys in hex, since they are not in
// order.
func TestDamageShowsNoValue(t *testing.T) {
	const header, element, leaf = 16, 16, 0x02 // as in bbolt's internal/common
	raw := sample(t, "")
	size := os.Getpagesize()
	damaged := 0
	for start := 0; start+size <= len(raw); start += size {
		page := bytes.Clone(raw[start : start+size])
		flags, count := binary.NativeEndian.Uint16(page[8:]), binary.NativeEndian.Uint16(page[10:])
		value := bytes.Index(page, []byte("cccccccccccc"))
		if flags != leaf || count < 2 || value < 0 {
			continue
		}
		for i := range 2 {
			at := header + i*element
			binary.NativeEndian.PutUint32(page[at+4:], uint32(value-at)) // where the key is, from here
			binary.NativeEndian.PutUint32(page[at+8:], uint32(12-i))     // its length: the second sorts before the first
		}
		whole := bytes.Clone(raw)
		copy(whole[start:], page)
		comesBack(t, fmt.Sprintf("keys of page %d in a value", start/size), whole, "")
		damaged++
	}
	if damaged == 0 {
		t.Error("the sample has no page to damage")
	}
}

func TestBothMetaPagesLost(t *testing.T) {
	raw := sample(t, "")
	clear(raw[:2*os.Getpagesize()])
	comesBack(t, "no meta page", raw, "")
	comesBack(t, "a text file", []byte("data: wxbroker.db\n"), "")
}

// TestTornMetaPage: a machine can stop while it writes a meta page. That is why
// bbolt has two. What the other one leads to is kept.
func TestTornMetaPage(t *testing.T) {
	whole := sample(t, "")
	for _, page := range []int{0, 1} {
		path := filepath.Join(t.TempDir(), "wxbroker.db")
		raw := bytes.Clone(whole)
		raw[page*os.Getpagesize()+16+50] ^= 0xff // in the transaction's number
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		s := open(t, path)
		if got, err := s.All("wx0"); err != nil || len(got["access_token"]) != 900 || s.Aside != nil {
			t.Errorf("meta page %d torn: %d bytes, %v, aside %v", page, len(got["access_token"]), err, s.Aside)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestTheNewestMetaPageCounts, whichever of the two it is. The pages that the
// older one leads to may be garbage. The pages that the newest one leads to must
// all be there.
func TestTheNewestMetaPageCounts(t *testing.T) {
	const root, mark, txn = 16 + 16, 16 + 40, 16 + 48 // in a meta page, as in bbolt's internal/common
	path, size := filepath.Join(t.TempDir(), "wxbroker.db"), os.Getpagesize()
	s := open(t, path)
	defer s.Close()
	field := func(page []byte, at int) uint64 { return binary.NativeEndian.Uint64(page[at:]) }
	seen := map[int]bool{}
	// Each write makes the other page the newest. The file grows with the last
	// write.
	for _, lengths := range [][]int{{900, 90_000}, {900, 90_000, 900_000}} {
		for i, length := range lengths {
			if err := s.Put(store.Values{{"wx0", fmt.Sprint("value ", i)}: bytes.Repeat([]byte("a"), length)}); err != nil {
				t.Fatal(err)
			}
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		newest, older, name := raw[:size], raw[size:2*size], fmt.Sprintf("after writes of %d bytes", lengths)
		if field(newest, txn) < field(older, txn) {
			newest, older = older, newest
		}
		seen[bytes.Index(raw, newest)] = true
		before := field(older, mark) * uint64(size)
		if before >= field(newest, mark)*uint64(size) {
			t.Fatalf("%s the file did not grow: this test shows nothing", name)
		}
		garbled, tree := bytes.Clone(raw), field(older, root)*uint64(size)
		clear(garbled[tree : tree+uint64(size)])
		copied := filepath.Join(t.TempDir(), "wxbroker.db")
		if err := os.WriteFile(copied, garbled, 0o600); err != nil {
			t.Fatal(err)
		}
		kept := open(t, copied)
		if got, err := kept.All("wx0"); err != nil || len(got["value 0"]) != 900 || kept.Aside != nil {
			t.Fatalf("%s what the older page leads to is garbage: %d bytes, %v, aside %v", name, len(got["value 0"]), err, kept.Aside)
		}
		if err := kept.Close(); err != nil {
			t.Error(err)
		}
		comesBack(t, name+" the file ends where the older page says", raw[:before], "")
	}
	if len(seen) != 2 {
		t.Errorf("the newest page was at %v: this test shows only half", seen)
	}
}

func TestADirectoryIsNotSetAside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "wxbroker.db")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if s, err := tryOpen(path, store.Keys{}); err == nil {
		t.Errorf("a directory was opened as a database, aside %v", s.Aside)
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}
