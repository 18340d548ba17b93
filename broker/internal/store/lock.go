package store

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// lockTimeout is how long Open waits for another process to let go: long
// enough for a restart that overlaps, short enough to be told.
const lockTimeout = 500 * time.Millisecond

// lock takes the lock on the file beside the database. Checking the database,
// setting it aside and opening it all happen under it, so that a second broker
// never touches a live one's. The kernel lets go of it when the process ends,
// however it ends.
func lock(path string) (*os.File, error) {
	f, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	// One that others can read they could lock. An error is not worth a start.
	_ = f.Chmod(0o600)
	for deadline := time.Now().Add(lockTimeout); ; {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return f, nil
		case !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR):
			return nil, errors.Join(fmt.Errorf("locking %s: %w", f.Name(), err), f.Close())
		case time.Now().After(deadline):
			return nil, errors.Join(ErrHeld, f.Close())
		}
		time.Sleep(10 * time.Millisecond) //nolint:forbidigo // bounded above, and nothing to interrupt
	}
}
