package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// lockTimeout is how long Open waits for another process to let go. It is long
// enough for a restart in which the old process and the new one overlap, and
// short enough for a person who waits for the refusal.
const lockTimeout = 500 * time.Millisecond

// lock keeps every other broker from the database at path. Checking the
// database, setting it aside and opening it all happen under it, so that a second
// broker never touches a live one's. The kernel lets go of it when the process
// ends, however it ends.
//
// The lock is on a file beside the database, and a shared one on the directory.
// Where a full volume has no room for the file, it is the whole directory's.
func lock(path string) (held []*os.File, err error) {
	file, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	full := isFull(err)
	if err != nil && !full {
		return nil, err
	}
	directory, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, errors.Join(err, unlock(append(held, file)))
	}
	held = []*os.File{directory}
	if full {
		if err := flock(directory, syscall.LOCK_EX); err != nil {
			return nil, errors.Join(err, unlock(held))
		}
		return held, nil
	}
	held = append(held, file)
	// Whoever can read the file could lock it. An error here does not keep the
	// broker from starting.
	_ = file.Chmod(0o600)
	// Not every file system locks directories. Where one does not, a broker
	// without room for a file does not start.
	if err := flock(directory, syscall.LOCK_SH); errors.Is(err, ErrHeld) {
		return nil, errors.Join(err, unlock(held))
	}
	if err := flock(file, syscall.LOCK_EX); err != nil {
		return nil, errors.Join(err, unlock(held))
	}
	return held, nil
}

// flock locks a file, or returns ErrHeld when another process has it locked.
func flock(f *os.File, how int) error {
	for deadline := time.Now().Add(lockTimeout); ; {
		err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR):
			return fmt.Errorf("locking %s: %w", f.Name(), err)
		case time.Now().After(deadline):
			return ErrHeld
		}
		time.Sleep(10 * time.Millisecond) //nolint:forbidigo // bounded above, and nothing to interrupt
	}
}

// unlock lets go of a lock.
func unlock(held []*os.File) error {
	var errs []error
	for _, f := range held {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}
