package daemon_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/wxbroker/wxbroker/pkg/daemon"
)

func listen(ctx context.Context, t *testing.T, address string) (net.Listener, error) {
	t.Helper()
	a, err := daemon.ParseAddress(address)
	if err != nil {
		t.Fatal(err)
	}
	l, err := a.Listen(ctx)
	if err == nil {
		t.Cleanup(func() { _ = l.Close() })
	}
	return l, err
}

func mustListen(t *testing.T, address string) net.Listener {
	t.Helper()
	l, err := listen(t.Context(), t, address)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// checkAnswers checks that whoever dials reaches l.
func checkAnswers(t *testing.T, l net.Listener) {
	t.Helper()
	client, err := net.Dial(l.Addr().Network(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	_ = server.Close()
}

func TestListenOnAnyPort(t *testing.T) {
	l := mustListen(t, "127.0.0.1:0")
	if port := l.Addr().(*net.TCPAddr).Port; port == 0 {
		t.Error("port 0 was not replaced")
	}
	checkAnswers(t, l)
}

func TestListenSaysThatAnAddressIsInUse(t *testing.T) {
	address := mustListen(t, "127.0.0.1:0").Addr().String()
	_, err := listen(t.Context(), t, address)
	if err == nil || !strings.Contains(err.Error(), address) || !strings.Contains(err.Error(), "in use by another program") {
		t.Errorf("got %v, want what is in use", err)
	}
}

func TestListenSaysWhatCannotBeListenedOn(t *testing.T) {
	for _, address := range []string{
		"unix:" + filepath.Join(socketDir(t), "missing", "sock"),
		"192.0.2.1:0", // for documentation: no machine's own
	} {
		if _, err := listen(t.Context(), t, address); err == nil || !strings.Contains(err.Error(), address) {
			t.Errorf("got %v, want an error that names %s", err, address)
		}
	}
}

// socketDir returns a directory with a short name: a socket's path has at most
// 108 bytes, and a test's own directory is named after the test.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "wx")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func TestListenOnAFreshSocket(t *testing.T) {
	path := filepath.Join(socketDir(t), "sock")
	l := mustListen(t, "unix:"+path)
	checkAnswers(t, l)
	_ = l.Close()
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after Close the socket is still there: %v", err)
	}
}

// TestASocketIsItsOwnersAlone from the first moment, whatever the umask. The umask is
// the same afterwards.
func TestASocketIsItsOwnersAlone(t *testing.T) {
	before := syscall.Umask(0)
	defer syscall.Umask(before)
	dir := socketDir(t)
	var listening sync.WaitGroup
	for i := range 20 {
		listening.Go(func() {
			path := filepath.Join(dir, strconv.Itoa(i))
			if _, err := listen(t.Context(), t, "unix:"+path); err != nil {
				t.Error(err)
				return
			}
			if info, err := os.Lstat(path); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("mode %v, %v", info.Mode(), err)
			}
		})
	}
	listening.Wait()
	if after := syscall.Umask(0); after != 0 {
		t.Errorf("the umask was left at %#o", after)
	}
}

func TestListenReplacesAStaleSocket(t *testing.T) {
	path := filepath.Join(socketDir(t), "sock")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false) // as a process that was killed
	_ = dead.Close()
	checkAnswers(t, mustListen(t, "unix:"+path))
}

func TestListenRefusesALiveSocket(t *testing.T) {
	path := filepath.Join(socketDir(t), "sock")
	live := mustListen(t, "unix:"+path)
	_, err := listen(t.Context(), t, "unix:"+path)
	if err == nil || !strings.Contains(err.Error(), "in use by another program") || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v, want what is in use", err)
	}
	// Listen has connected to find out whether somebody listens.
	probe, err := live.Accept()
	if err != nil {
		t.Fatal(err)
	}
	_ = probe.Close()
	checkAnswers(t, live)
}

func TestListenRemovesOnlyASocketThatRefuses(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tt := range []struct {
		name string
		ctx  context.Context
		make func(t *testing.T, path string)
	}{
		{"regular file", t.Context(), func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{"directory", t.Context(), func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}},
		{"symbolic link", t.Context(), func(t *testing.T, path string) {
			if err := os.Symlink("/nowhere", path); err != nil {
				t.Fatal(err)
			}
		}},
		{"live socket of another type", t.Context(), func(t *testing.T, path string) {
			l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = l.Close() })
		}},
		// A dial that was cancelled does not say whether somebody listens.
		{"live socket, asked when ctx has ended", ended, func(t *testing.T, path string) { mustListen(t, "unix:"+path) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(socketDir(t), "it")
			tt.make(t, path)
			before, err := os.Lstat(path)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := listen(tt.ctx, t, "unix:"+path); err == nil || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v, want an error that names %s", err, path)
			}
			after, err := os.Lstat(path)
			if err != nil || !os.SameFile(before, after) {
				t.Errorf("what was there is gone: %v", err)
			}
		})
	}
}
