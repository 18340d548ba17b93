package app

import (
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/wxbroker/wxbroker/pkg/daemon"
)

// socketDir returns a directory whose path is short enough for a socket's.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "wx")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func TestSocketIsOwned(t *testing.T) {
	group, err := user.LookupGroupId(strconv.Itoa(os.Getgid()))
	if err != nil {
		t.Skipf("this test's group has no name: %v", err)
	}
	dir := socketDir(t)
	for _, tt := range []struct {
		name, mode, group string
		want              fs.FileMode
	}{
		{"nothing said", "", "", 0o600},
		{"a mode", "0666", "", 0o666},
		{"a mode without a zero", "660", "", 0o660},
		{"a group by name", "0660", group.Name, 0o660},
		{"a group by number", "0620", group.Gid, 0o620},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(dir, "s")
			address, err := daemon.ParseAddress("unix:" + path)
			if err != nil {
				t.Fatal(err)
			}
			listener, err := listenFlags{ListenMode: tt.mode, ListenGroup: tt.group}.open(t.Context(), address)
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if got := info.Mode().Perm(); got != tt.want || info.Sys().(*syscall.Stat_t).Gid != uint32(os.Getgid()) {
				t.Errorf("mode %04o of %+v, want %04o", got, info.Sys(), tt.want)
			}
		})
	}
}

// A socket that cannot be given to its group is not left behind.
func TestSocketThatCannotBeOwned(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may give it to every group")
	}
	path := filepath.Join(socketDir(t), "s")
	address, err := daemon.ParseAddress("unix:" + path)
	if err != nil {
		t.Fatal(err)
	}
	if listener, err := (listenFlags{ListenMode: "0660", ListenGroup: "0"}).open(t.Context(), address); err == nil {
		_ = listener.Close()
		t.Error("it is root's")
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("it is there")
	}
}

func TestSocketThatIsGone(t *testing.T) {
	for _, s := range []socket{{"gone", 0o660, -1}, {"gone", 0o660, os.Getgid()}} {
		s.path = filepath.Join(t.TempDir(), s.path)
		if err := s.own(); err == nil {
			t.Errorf("%+v is owned", s)
		}
	}
}
