// Package download saves a file that arrives in pieces. It saves the whole file or
// nothing.
package download

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Target is the place where a file is saved. Whatever name the file is given, it stays
// in the target's directory. Make it with Open.
type Target struct {
	directory string
	root      *os.Root
	name      string // "" until it is known
	force     bool

	part     *os.File // the bytes so far, under a name of its own
	partName string
}

// Open returns a Target for path. If path is a directory, or ends like one, Begin
// says the file's name. Else path is the file itself. With force a file that is there
// is replaced.
func Open(path string, force bool) (*Target, error) {
	t := &Target{directory: path, force: force}
	info, err := os.Stat(path)
	if !strings.HasSuffix(path, string(filepath.Separator)) && (err != nil || !info.IsDir()) {
		t.directory, t.name = filepath.Dir(path), filepath.Base(path)
	}
	if t.root, err = os.OpenRoot(t.directory); err != nil {
		return nil, fmt.Errorf("saving to %s: %w", path, err)
	}
	if t.name != "" {
		err = t.free()
	}
	if err != nil {
		_ = t.root.Close() // nothing was written in it
		return nil, err
	}
	return t, nil
}

// Begin begins to save. name is the file's name if path was a directory.
func (t *Target) Begin(name string) (err error) {
	if t.name == "" {
		t.name = name
	}
	if err := t.free(); err != nil {
		return err
	}
	t.partName = ".wxedge-" + rand.Text() + ".part"
	t.part, err = t.root.OpenFile(t.partName, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	return t.explain(err)
}

// Write writes a piece.
func (t *Target) Write(piece []byte) (int, error) {
	n, err := t.part.Write(piece)
	return n, t.explain(err)
}

// Commit gives the file that was written its name, and returns its path.
func (t *Target) Commit() (path string, err error) {
	if err := errors.Join(t.part.Sync(), t.part.Close()); err != nil {
		return "", t.explain(err)
	}
	if !t.force {
		// Unlike a rename, a link does not replace a file that was made meanwhile.
		switch err := t.root.Link(t.partName, t.name); {
		case err == nil:
			return t.path(), nil
		case errors.Is(err, fs.ErrExist):
			return "", t.exists()
		} // else the file system knows no links
		reserved, err := t.root.OpenFile(t.name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if errors.Is(err, fs.ErrExist) {
			return "", t.exists()
		}
		if err != nil {
			return "", t.explain(err)
		}
		reserved.Close()
	}
	if err := t.root.Rename(t.partName, t.name); err != nil {
		if !t.force { // the file that was reserved is empty
			_ = t.root.Remove(t.name)
		}
		return "", t.explain(err)
	}
	return t.path(), nil
}

// Close removes what was written and not committed.
func (t *Target) Close() {
	if t.part != nil {
		t.part.Close()
		_ = t.root.Remove(t.partName) // not there any more if it was renamed
	}
	_ = t.root.Close() // nothing is lost with it
}

// free returns why the name cannot be used, nil if it can.
func (t *Target) free() error {
	info, err := t.root.Lstat(t.name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return t.explain(err)
	case info.IsDir():
		return fmt.Errorf("saving %s: there is a directory of that name", t.path())
	case !t.force:
		return t.exists()
	}
	return nil
}

func (t *Target) exists() error {
	return fmt.Errorf("saving %s: there is a file of that name already: give another, or --force to replace it", t.path())
}

func (t *Target) explain(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("saving %s: %w", t.path(), err)
}

func (t *Target) path() string { return filepath.Join(t.directory, t.name) }
