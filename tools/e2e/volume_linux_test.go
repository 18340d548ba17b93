package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// onlyRoot skips a test unless this is root, who may mount a file system.
func onlyRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root may mount a file system")
	}
}

// freezingVolume mounts a file system of its own that can be frozen. Until thaw is called,
// writes hang, as on NFS whose server is gone.
func freezingVolume(t *testing.T) (dir string, freeze func() (thaw func())) {
	t.Helper()
	onlyRoot(t)
	image, dir := filepath.Join(t.TempDir(), "image"), t.TempDir()
	must(t, os.WriteFile(image, nil, 0o600))
	must(t, os.Truncate(image, 16<<20))
	for _, command := range [][]string{{"mkfs.ext4", "-q", "-F", image}, {"mount", "-o", "loop", image, dir}} {
		if out, err := exec.CommandContext(t.Context(), command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", command, err, out)
		}
	}
	t.Cleanup(func() { must(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	const fifreeze, fithaw = 0xC0045877, 0xC0045878 // include/uapi/linux/fs.h
	control := func(request uint) error {
		root, err := os.Open(dir)
		if err != nil {
			return err
		}
		defer root.Close()
		return unix.IoctlSetInt(int(root.Fd()), request, 0)
	}
	return dir, func() func() {
		must(t, control(fifreeze))
		thaw := sync.OnceFunc(func() { must(t, control(fithaw)) })
		t.Cleanup(thaw) // before the test waits for processes that hang in it
		return thaw
	}
}

// deadVolume mounts a file system that never answers: a FUSE file system whose program is
// silent from the start.
func deadVolume(t *testing.T) (dir string) {
	t.Helper()
	onlyRoot(t)
	dir = t.TempDir()
	device, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("there is no FUSE here")
	}
	must(t, err)
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", device.Fd())
	must(t, unix.Mount("dead", dir, "fuse", 0, options))
	t.Cleanup(func() {
		must(t, device.Close()) // ends every access with an error
		must(t, unix.Unmount(dir, unix.MNT_DETACH))
	})
	return dir
}
