package follow_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wxbroker/wxbroker/pkg/follow"
)

func write(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, g follow.Group) follow.Contents {
	t.Helper()
	c, err := g.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	first, second := filepath.Join(dir, "first"), filepath.Join(dir, "second")
	write(t, first, "one")
	write(t, second, strings.Repeat("2", 8))
	if err := os.Chmod(second, 0o644); err != nil {
		t.Fatal(err)
	}
	c := read(t, follow.Group{Paths: []string{first, "", second}, Limit: 8})
	want := []follow.File{{Bytes: []byte("one")}, {}, {Bytes: []byte("22222222"), Exposed: true}}
	if diff := cmp.Diff(want, c.Files); diff != "" {
		t.Error(diff)
	}
}

func TestReadRefuses(t *testing.T) {
	dir := t.TempDir()
	put := func(name, content string) string {
		path := filepath.Join(dir, name)
		write(t, path, content)
		return path
	}
	pipe := filepath.Join(dir, "pipe")
	pour(t, pipe)
	good := put("good", "x")
	for _, tt := range []struct{ name, path, says string }{
		{"missing", filepath.Join(dir, "missing"), "no such file"},
		{"empty", put("empty", ""), "the file is empty"},
		{"one byte too long", put("long", "123456789"), "more than 8 bytes"},
		{"a directory", dir, "not a regular file"},
		{"a pipe", pipe, "not a regular file"},
		{"a device without end", "/dev/zero", "not a regular file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := follow.Group{What: "things", Paths: []string{good, tt.path}, Limit: 8}.Read(t.Context())
			if err == nil || c.Files != nil {
				t.Fatalf("read %v, %v", c.Files, err)
			}
			for _, says := range []string{"reading the things: ", tt.path, tt.says} {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("%q does not say %q", err, says)
				}
			}
		})
	}
}

// pour makes a pipe that is always written to. So code that opens it by mistake does not
// hang, neither in opening nor in reading.
func pour(t *testing.T, path string) {
	t.Helper()
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	writer, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = writer.Close() })
	go func() {
		for {
			if _, err := writer.WriteString("1234567890"); err != nil {
				return
			}
		}
	}()
}

func TestFingerprint(t *testing.T) {
	dir := t.TempDir()
	a, b, ab := filepath.Join(dir, "a"), filepath.Join(dir, "b"), filepath.Join(dir, "ab")
	write(t, a, "a")
	write(t, b, "b")
	write(t, ab, "ab")
	fingerprint := func(paths ...string) follow.Fingerprint {
		return read(t, follow.Group{Paths: paths, Limit: 8}).Fingerprint
	}
	first := fingerprint(a, b)
	if again := fingerprint(a, b); again != first {
		t.Error("the same content is not the same")
	}
	for _, tt := range []struct {
		name  string
		other follow.Fingerprint
	}{
		{"nothing read yet", follow.Fingerprint{}},
		{"in another order", fingerprint(b, a)},
		{"one skipped", fingerprint(a, "")},
		{"another skipped", fingerprint("", b)},
		{"none", fingerprint("", "")},
		{"other borders between the same bytes", fingerprint(ab, "")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if first == tt.other {
				t.Error("it is the same")
			}
		})
	}
}
