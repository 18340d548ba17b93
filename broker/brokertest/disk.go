package brokertest

import (
	"slices"
	"strings"

	"github.com/wxbroker/wxbroker/broker/internal/store"
	"github.com/wxbroker/wxbroker/broker/internal/store/storetest"
)

// Disk is a place for a database that a test can trouble. The zero value keeps
// it in memory, across brokers.
type Disk struct {
	// File keeps it in the file that Config.Data names instead.
	File bool
	// Write is called for every write, with what does it; nil just does it. It may
	// refuse, and it may hang.
	Write func(w Write, write func() error) error

	memory storetest.Disk
}

// Write is one write of a broker.
type Write struct {
	// Counts is set where a call is counted that is about to be made, and Answer
	// where what WeChat answered to one is stored.
	Counts, Answer bool
}

// open opens the database as a starting broker does.
func (d *Disk) open(path string, keys store.Keys) (store.Disk, store.Findings, error) {
	if !d.File {
		return troubled{&d.memory, d}, store.Findings{}, nil
	}
	file, found, err := store.Open(path, keys)
	if err != nil {
		return nil, found, err
	}
	return troubled{file, d}, found, nil
}

// troubled is a disk in a file or in memory.
type troubled struct {
	store.Disk
	trouble *Disk
}

// Put implements [store.Disk].
func (t troubled) Put(values store.Values) error {
	write := func() error { return t.Disk.Put(values) }
	if t.trouble.Write == nil {
		return write()
	}
	w := Write{Counts: true}
	for at := range values {
		switch {
		case isKind(at.Key):
			w = Write{Answer: true}
		case !strings.HasPrefix(at.Key, "budget/"):
			w.Counts = false
		}
	}
	return t.trouble.Write(w, write)
}

// isKind reports whether a key is one of a credential's.
func isKind(key string) bool {
	kind, _, _ := strings.Cut(key, "/")
	return slices.Contains([]string{"access_token", "jsapi_ticket", "wx_card_ticket"}, kind)
}
