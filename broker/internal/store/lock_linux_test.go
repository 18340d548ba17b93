package store_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/wxbroker/wxbroker/broker/internal/store"
)

// smallVolume mounts a file system without room for a single file. mend gives it
// room.
func smallVolume(t *testing.T) (dir string, mend func()) {
	t.Helper()
	dir = t.TempDir()
	err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m,nr_inodes=1") // its root
	if errors.Is(err, syscall.EPERM) {
		t.Skip("only root may mount a file system")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir, func() {
		t.Helper()
		if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=1m,nr_inodes=100"); err != nil {
			t.Fatal(err)
		}
	}
}

// TestNoRoomForALock: not even an empty file can be made. Then the directory is
// locked. No second broker gets in, neither now nor when there is room again.
func TestNoRoomForALock(t *testing.T) {
	dir, mend := smallVolume(t)
	path := filepath.Join(dir, "wxbroker.db")
	s, err := tryOpen(path, store.Keys{})
	if err != nil || !errors.Is(s.Full, syscall.ENOSPC) {
		t.Fatalf("%+v, %v", s, err)
	}
	if _, err := tryOpen(path, store.Keys{}); !errors.Is(err, store.ErrHeld) {
		t.Errorf("a second broker without room: %v", err)
	}
	mend()
	if _, err := tryOpen(path, store.Keys{}); !errors.Is(err, store.ErrHeld) {
		t.Errorf("a second broker with room: %v", err)
	}
	s.TryAgain()
	put(t, s, "wx1", "access_token", token)
	if _, err := tryOpen(path, store.Keys{}); !errors.Is(err, store.ErrHeld) {
		t.Errorf("a second broker once the first has a database: %v", err)
	}
	shut(t, s)
	s = open(t, path)
	if all, err := s.All("wx1"); err != nil || string(all["access_token"]) != token {
		t.Errorf("it has %q, %v", all, err)
	}
	shut(t, s)
}

// TestBrokersShareADirectory, each with a database of its own.
func TestBrokersShareADirectory(t *testing.T) {
	dir := t.TempDir()
	for i := range 3 {
		s := open(t, filepath.Join(dir, fmt.Sprint(i, ".db")))
		t.Cleanup(func() { shut(t, s) })
	}
}
