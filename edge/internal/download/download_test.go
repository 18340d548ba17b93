package download_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/wxbroker/wxbroker/edge/internal/download"
)

// save saves content as a download would, and returns where it is.
func save(t *testing.T, path, name, content string, force bool) (string, error) {
	t.Helper()
	target, err := download.Open(path, force)
	if err != nil {
		return "", err
	}
	defer target.Close()
	if err := target.Begin(name); err != nil {
		return "", err
	}
	if _, err := target.Write([]byte(content)); err != nil {
		return "", err
	}
	for _, part := range parts() {
		private(t, part)
	}
	return target.Commit()
}

// private fails if anybody but the owner can read a file.
func private(t *testing.T, path string) {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != 0o600 {
		t.Errorf("%s has the mode %v", path, info.Mode())
	}
}

// parts returns the files of unfinished downloads.
func parts() (all []string) {
	for _, pattern := range []string{".wxedge-*", "*/.wxedge-*"} {
		found, _ := filepath.Glob(pattern)
		all = append(all, found...)
	}
	return all
}

// TestSave: where a file is saved, and that only its owner can read it, whatever the
// umask.
func TestSave(t *testing.T) {
	before := syscall.Umask(0)
	t.Cleanup(func() { syscall.Umask(before) })
	tests := []struct {
		name, to, given string
		force           bool
		where, says     string
	}{
		{"to a file", "a.amr", "voice.amr", false, "a.amr", ""},
		{"to a directory", "dir", "voice.amr", false, "dir/voice.amr", ""},
		{"to a directory, written as one", "dir/", "voice.amr", false, "dir/voice.amr", ""},
		{"to the present directory", ".", "voice.amr", false, "voice.amr", ""},
		{"to a file in a directory", "dir/a.amr", "voice.amr", false, "dir/a.amr", ""},
		{"to a directory that is not there", "none/", "voice.amr", false, "", "no such file"},
		{"to a file in a directory that is not there", "none/a", "voice.amr", false, "", "no such file"},
		{"over a file", "taken", "voice.amr", false, "", "already"},
		{"over a file in a directory", "dir", "taken", false, "", "already"},
		{"over a file, forced", "taken", "voice.amr", true, "taken", ""},
		{"over a file in a directory, forced", "dir", "taken", true, "dir/taken", ""},
		{"over a directory, forced", "dir", "sub", true, "", "a directory of that name"},
		{"over a link that leads out", "dir", "link", false, "", "already"},
		{"over a link that leads out, forced", "dir", "link", true, "dir/link", ""},
		{"to a name that leads out", "dir", "../out", true, "", "escapes"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			for _, err := range []error{
				os.MkdirAll("dir/sub", 0o700), os.WriteFile("taken", []byte("before"), 0o600), os.WriteFile("dir/taken", []byte("before"), 0o600),
				os.WriteFile("outside", []byte("before"), 0o600), os.Symlink("../outside", "dir/link"),
			} {
				if err != nil {
					t.Fatal(err)
				}
			}
			where, err := save(t, test.to, test.given, "after", test.force)
			if where != test.where || (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) {
				t.Fatalf("saved at %q, %v", where, err)
			}
			if err == nil {
				if got, _ := os.ReadFile(where); string(got) != "after" {
					t.Errorf("saved %q", got)
				}
				private(t, where)
			}
			for _, file := range []string{"outside", "taken", "dir/taken"} {
				if got, _ := os.ReadFile(file); string(got) != "before" && file != where {
					t.Errorf("%s is %q", file, got)
				}
			}
			noParts(t)
		})
	}
}

// noParts fails if an unfinished file is left.
func noParts(t *testing.T) {
	t.Helper()
	if left := parts(); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

// A download that breaks off leaves no file, and does not replace a file that was
// made meanwhile.
func TestBrokenDownload(t *testing.T) {
	t.Chdir(t.TempDir())
	target, err := download.Open("a", false)
	if err != nil {
		t.Fatal(err)
	}
	if err := target.Begin(""); err != nil {
		t.Fatal(err)
	}
	_, _ = target.Write([]byte("half"))
	target.Close()
	if _, err := os.Lstat("a"); !os.IsNotExist(err) {
		t.Errorf("the half is there: %v", err)
	}
	noParts(t)

	target, err = download.Open("a", false)
	if err != nil {
		t.Fatal(err)
	}
	_ = target.Begin("")
	_ = os.WriteFile("a", []byte("somebody else's"), 0o600)
	if _, err := target.Commit(); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("committed: %v", err)
	}
	target.Close()
	if got, _ := os.ReadFile("a"); string(got) != "somebody else's" {
		t.Errorf("it is %q", got)
	}
	noParts(t)
}
