// Package storetest has a disk for tests. It is in memory, and it refuses, hangs
// or is slow when a test wants it to.
package storetest

import (
	"bytes"
	"errors"
	"maps"
	"sync"
	"syscall"
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/store"
)

// Disk is a store.Disk in memory. The zero value is empty and sound. It stands
// beneath a [store.Writer] where otherwise a database file does; see
// [Disk.Writer].
type Disk struct {
	mu         sync.Mutex
	values     store.Values
	full       bool
	refuses    func(key string) bool
	unreadable bool
	takes      time.Duration
	hangs      chan struct{}
	writes     []store.Values
	closed     bool
}

// ErrFull is what a full disk refuses a write with.
var ErrFull error = syscall.ENOSPC

// Writer returns a Writer to the disk, as a broker that starts has one.
func (d *Disk) Writer() *store.Writer { return store.NewWriter(d) }

// Put implements [store.Disk].
func (d *Disk) Put(values store.Values) error {
	d.mu.Lock()
	d.writes = append(d.writes, values)
	takes, hangs := d.takes, d.hangs
	d.mu.Unlock()
	time.Sleep(takes) //nolint:forbidigo // a disk cannot be interrupted
	if hangs != nil {
		<-hangs
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for at := range values {
		if d.full || d.refuses != nil && d.refuses(at.Key) {
			return ErrFull
		}
	}
	for at, value := range values {
		d.set(at, value)
	}
	return nil
}

func (d *Disk) set(at store.Place, value []byte) {
	if d.values == nil {
		d.values = store.Values{}
	}
	d.values[at] = bytes.Clone(value)
}

// All implements [store.Disk].
func (d *Disk) All(appid string) (map[string][]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.unreadable {
		return nil, errors.New("input/output error")
	}
	all := map[string][]byte{}
	for at, value := range d.values {
		if at.AppID == appid {
			all[at.Key] = bytes.Clone(value)
		}
	}
	return all, nil
}

// Close implements [store.Disk].
func (d *Disk) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	return nil
}

// Closed reports whether the disk was closed.
func (d *Disk) Closed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.closed
}

// Fill makes the disk refuse every write, or take it again.
func (d *Disk) Fill(full bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.full = full
}

// Refuse makes the disk refuse every write that has one of these keys.
func (d *Disk) Refuse(these func(key string) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refuses = these
}

// Spoil makes reading fail, or work again.
func (d *Disk) Spoil(unreadable bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.unreadable = unreadable
}

// Slow makes every write take that long.
func (d *Disk) Slow(takes time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.takes = takes
}

// Hang makes every write wait, until answer is called.
func (d *Disk) Hang() (answer func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	hangs := make(chan struct{})
	d.hangs = hangs
	return sync.OnceFunc(func() {
		d.mu.Lock()
		d.hangs = nil
		d.mu.Unlock()
		close(hangs)
	})
}

// Writes returns the writes that were begun, also those that were refused.
func (d *Disk) Writes() []store.Values {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]store.Values(nil), d.writes...)
}

// Values returns what the disk has.
func (d *Disk) Values() store.Values {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.values)
}

// Replace makes values all that the disk has, as restoring a copy of it does; nil
// makes it empty.
func (d *Disk) Replace(values store.Values) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.values = maps.Clone(values)
}

// Set changes one value, also on a disk that refuses or hangs.
func (d *Disk) Set(appid, key, value string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.set(store.Place{AppID: appid, Key: key}, []byte(value))
}

// Get returns one value, "" for none.
func (d *Disk) Get(appid, key string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return string(d.values[store.Place{AppID: appid, Key: key}])
}
