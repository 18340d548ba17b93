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

// check lets bbolt check that keys are in order and that every page is either
// in use or free. bbolt does so in a goroutine of its own, where guarded cannot
// catch a fault. That is why walk has followed every page before.
func check(db *bolt.DB) error {
	return db.View(func(tx *bolt.Tx) error {
		var found []error
		for err := range tx.Check(bolt.WithKVStringer(redactor{})) { // to the end: bbolt waits for its reader
			found = append(found, err)
		}
		if len(found) > 0 {
			return fmt.Errorf("%w: %d inconsistencies, the first: %w", errDamaged, len(found), found[0])
		}
		return nil
	})
}

// redactor keeps keys and values out of bbolt's messages. In a damaged page the
// bytes that bbolt takes for a key may be a piece of a token.
type redactor struct{}

func (redactor) KeyToString([]byte) string   { return "(not shown)" }
func (redactor) ValueToString([]byte) string { return "(not shown)" }

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
