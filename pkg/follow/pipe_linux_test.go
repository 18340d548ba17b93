package follow_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/wxbroker/wxbroker/pkg/follow"
)

// makePipe makes a pipe that nobody writes to. At the end of the test it lets go of
// code that opened the pipe by mistake and waits for a writer.
func makePipe(t *testing.T, path string) {
	t.Helper()
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		writer, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Error(err)
			return
		}
		_ = writer.Close()
	})
}

// TestWhatIsNoFileIsNotOpened: opening a device can have effects, and opening a pipe
// lets its writer go on. The kernel says what was opened.
func TestWhatIsNoFileIsNotOpened(t *testing.T) {
	dir := t.TempDir()
	file, pipe := filepath.Join(dir, "file"), filepath.Join(dir, "pipe")
	write(t, file, "x")
	makePipe(t, pipe)
	for _, tt := range []struct {
		path, says string
		opened     bool
	}{
		{file, "", true},
		{pipe, "not a regular file", false},
	} {
		events, err := syscall.InotifyInit1(syscall.IN_NONBLOCK | syscall.IN_CLOEXEC)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := syscall.InotifyAddWatch(events, tt.path, syscall.IN_OPEN); err != nil {
			t.Fatal(err)
		}
		_, err = follow.Read(t.Context(), tt.path, 8)
		if (err != nil) != (tt.says != "") || err != nil && !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, want %q", tt.path, err, tt.says)
		}
		n, err := syscall.Read(events, make([]byte, 4096))
		if opened := n > 0; opened != tt.opened {
			t.Errorf("%s was opened: %v, want %v (%v)", tt.path, opened, tt.opened, err)
		}
		_ = syscall.Close(events)
	}
}

// TestAPipeInAFilesPlace: a pipe may take the file's place at any moment, also after
// Read has seen the file. Read never waits for the pipe's writer.
func TestAPipeInAFilesPlace(t *testing.T) {
	dir := t.TempDir()
	path, next, file, pipe := filepath.Join(dir, "path"), filepath.Join(dir, "next"), filepath.Join(dir, "file"), filepath.Join(dir, "pipe")
	write(t, path, "x")
	write(t, file, "x")
	makePipe(t, pipe)
	stop := make(chan struct{})
	var replacing sync.WaitGroup
	replacing.Go(func() {
		for {
			for _, taken := range []string{pipe, file} {
				select {
				case <-stop:
					return
				default:
				}
				if err := os.Link(taken, next); err != nil {
					t.Error(err)
					return
				}
				if err := os.Rename(next, path); err != nil {
					t.Error(err)
					return
				}
			}
		}
	})
	refused := 0
	for range 5000 {
		_, err := follow.Read(t.Context(), path, 8)
		if err == nil {
			continue
		}
		refused++
		if !strings.Contains(err.Error(), "not a regular file") {
			t.Error(err)
			break
		}
	}
	close(stop)
	replacing.Wait()
	if refused == 0 {
		t.Error("the pipe was never in the file's place: this test shows nothing")
	}
}
