package store

import (
	"errors"
	"fmt"
	"runtime/debug"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// guarded runs f and turns a panic, and a fault in mapped memory, into an
// error that is errDamaged. It cannot guard goroutines that f starts.
func guarded(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: reading it: %v", errDamaged, r)
		}
	}()
	return f()
}

// check reads every key and value, and lets bbolt check that every page is
// either in use or free. The first comes first because bbolt checks in a
// goroutine of its own, where nothing can guard against a fault.
func check(db *bolt.DB) error {
	return db.View(func(tx *bolt.Tx) error {
		if err := guarded(func() error { return tx.ForEach(func(_ []byte, b *bolt.Bucket) error { return readAll(b) }) }); err != nil {
			return err
		}
		var found []error
		for err := range tx.Check() { // to the end: bbolt waits for its reader
			found = append(found, err)
		}
		if len(found) > 0 {
			return fmt.Errorf("%w: %d inconsistencies, the first: %w", errDamaged, len(found), found[0])
		}
		return nil
	})
}

// readAll touches every byte of a bucket and of the buckets in it.
func readAll(b *bolt.Bucket) error {
	var touched byte
	err := b.ForEach(func(key, value []byte) error {
		for _, c := range key {
			touched ^= c
		}
		for _, c := range value {
			touched ^= c
		}
		if value != nil {
			return nil
		}
		inner := b.Bucket(key)
		if inner == nil {
			return fmt.Errorf("%w: a bucket is missing", errDamaged)
		}
		return readAll(inner)
	})
	_ = touched
	return err
}

// isDamage reports whether err says that the database, not its surroundings,
// is at fault.
func isDamage(err error) bool {
	for _, damage := range []error{errDamaged, bolterrors.ErrInvalid, bolterrors.ErrVersionMismatch, bolterrors.ErrChecksum} {
		if errors.Is(err, damage) {
			return true
		}
	}
	return false
}
