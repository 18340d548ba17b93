package store

import (
	"errors"
	"os"
	"syscall"
)

// errFull is what Put returns while the volume counts as full, until the volume
// is tried again.
var errFull = errors.New("the volume has no room for a database")

// isFull reports whether err says that a volume has no room: none at all, none
// for this user, or none for a file of that size. A read-only path or a missing
// volume is another matter: a person has to look at that before anything is
// fetched.
func isFull(err error) bool {
	for _, full := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		if errors.Is(err, full) {
			return true
		}
	}
	return false
}

// exists reports whether there is something at path that may be a database.
func exists(path string) bool {
	info, err := os.Stat(path)
	return err != nil && !errors.Is(err, os.ErrNotExist) || err == nil && info.Size() > 0
}
