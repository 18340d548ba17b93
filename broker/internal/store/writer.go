package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Disk is what a Writer writes to: a [Store], or what a test puts in its place.
// It may refuse, and it may hang.
type Disk interface {
	Put(values Values) error
	All(appid string) (map[string][]byte, error)
	Close() error
}

const (
	// patience bounds how long a Put waits for the disk.
	patience = time.Second
	// closeTimeout bounds how long Close waits.
	closeTimeout = 2 * time.Second
)

// errHangs is the error of a disk that does not answer.
var errHangs = errors.New("the disk does not answer")

// Writer makes a disk that hangs look like one that refuses. Make it with
// NewWriter; it is safe for concurrent use.
//
// A Writer writes on a goroutine of its own, one transaction at a time. Values
// that are put meanwhile wait, and are then written together. Of each place only
// the newest value waits. So a write that returns late overwrites nothing newer,
// and a disk that hangs holds up one goroutine and one value for each place.
//
// A Put can give up before its value is written. The value is written all the same
// once the disk answers, unless a newer one has taken its place by then. So the
// caller may put it again, and has nothing to take back.
type Writer struct {
	disk Disk

	mu      sync.Mutex
	next    *transaction  // what waits, nil for nothing
	began   time.Time     // when the write under way began, zero without one
	idle    chan struct{} // closed when there is no write under way
	closing bool
}

// transaction is values that are written together.
type transaction struct {
	values Values
	done   chan struct{} // closed when it was written, or refused
	err    error         // why it was refused
}

// NewWriter returns a Writer to disk.
func NewWriter(disk Disk) *Writer {
	w := &Writer{disk: disk, idle: make(chan struct{})}
	close(w.idle)
	return w
}

// Put stores values of an account by key, all of them or none. They are durable
// once it returns nil. It waits a second at most, or until ctx ends; while the
// disk hangs it does not wait at all.
func (w *Writer) Put(ctx context.Context, appid string, values map[string][]byte) error {
	t, hangs, err := w.add(appid, values)
	if err != nil {
		return err
	}
	wait := patience
	if hangs {
		wait = 0
	}
	ctx, cancel := context.WithTimeoutCause(ctx, wait, errHangs)
	defer cancel()
	select {
	case <-t.done:
		return t.err
	case <-ctx.Done():
		return fmt.Errorf("writing to the database: %w", context.Cause(ctx))
	}
}

// add adds values to the transaction that waits, and starts a write if none is
// under way. hangs reports whether the write under way has taken too long.
func (w *Writer) add(appid string, values map[string][]byte) (t *transaction, hangs bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closing {
		return nil, false, errors.New("writing to the database: it is closed")
	}
	if w.next == nil {
		w.next = &transaction{values: Values{}, done: make(chan struct{})}
	}
	for key, value := range values {
		w.next.values[Place{appid, key}] = value
	}
	t = w.next
	if w.began.IsZero() {
		w.began, w.idle = time.Now(), make(chan struct{})
		go w.write()
	}
	return t, time.Since(w.began) > patience, nil
}

// write writes what waits, until there is nothing.
func (w *Writer) write() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.next != nil {
		t := w.next
		w.next, w.began = nil, time.Now()
		w.mu.Unlock()
		t.err = w.disk.Put(t.values)
		close(t.done)
		w.mu.Lock()
	}
	w.began = time.Time{}
	close(w.idle)
}

// All returns every key and value of appid: none is an empty map.
func (w *Writer) All(appid string) (map[string][]byte, error) { return w.disk.All(appid) }

// Close waits for what is being written and lets go of the disk. It takes two
// seconds at most.
func (w *Writer) Close() error {
	w.mu.Lock()
	w.closing = true
	idle := w.idle
	w.mu.Unlock()
	closed := make(chan error, 1)
	go func() {
		<-idle
		closed <- w.disk.Close()
	}()
	timer := time.NewTimer(closeTimeout)
	defer timer.Stop()
	select {
	case err := <-closed:
		return err
	case <-timer.C:
		return fmt.Errorf("closing the database: %w", errHangs)
	}
}
