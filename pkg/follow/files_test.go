package follow_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/wxbroker/wxbroker/pkg/follow"
)

func write(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, f follow.Files) follow.Contents {
	t.Helper()
	c, err := f.Read()
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
	c := read(t, follow.Files{Paths: []string{first, "", second}, Limit: 8})
	if len(c.Bytes) != 3 || string(c.Bytes[0]) != "one" || c.Bytes[1] != nil || string(c.Bytes[2]) != "22222222" {
		t.Errorf("read %q", c.Bytes)
	}
	if len(c.Exposed) != 3 || c.Exposed[0] || c.Exposed[1] || !c.Exposed[2] {
		t.Errorf("exposed: %v", c.Exposed)
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
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	good := put("good", "x")
	for _, tt := range []struct{ name, path, says string }{
		{"missing", filepath.Join(dir, "missing"), "no such file"},
		{"empty", put("empty", ""), "the file is empty"},
		{"one byte too long", put("long", "123456789"), "more than 8 bytes"},
		{"a directory", dir, "not a regular file"},
		{"a pipe that nobody writes", pipe, "not a regular file"},
		{"a device without end", "/dev/zero", "not a regular file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := follow.Files{What: "things", Paths: []string{good, tt.path}, Limit: 8}.Read()
			if err == nil || c.Bytes != nil {
				t.Fatalf("read %q, %v", c.Bytes, err)
			}
			for _, says := range []string{"reading the things: ", tt.path, tt.says} {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("%q does not say %q", err, says)
				}
			}
		})
	}
}

func TestSame(t *testing.T) {
	dir := t.TempDir()
	a, b, ab := filepath.Join(dir, "a"), filepath.Join(dir, "b"), filepath.Join(dir, "ab")
	write(t, a, "a")
	write(t, b, "b")
	write(t, ab, "ab")
	contents := func(paths ...string) follow.Contents { return read(t, follow.Files{Paths: paths, Limit: 8}) }
	stripped := contents(a, b)
	stripped.Bytes = nil
	if !contents(a, b).Same(contents(a, b)) || !contents(a, b).Same(stripped) {
		t.Error("the same content is not the same")
	}
	for _, tt := range []struct {
		name  string
		other follow.Contents
	}{
		{"nothing read yet", follow.Contents{}},
		{"in another order", contents(b, a)},
		{"one skipped", contents(a, "")},
		{"another skipped", contents("", b)},
		{"none", contents("", "")},
		{"other borders between the same bytes", contents(ab, "")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if contents(a, b).Same(tt.other) || tt.other.Same(contents(a, b)) {
				t.Error("it is the same")
			}
		})
	}
}
