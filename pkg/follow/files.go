package follow

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
)

// Files are files that only together mean something.
type Files struct {
	// What they are, for log lines and errors: "TLS files", say.
	What string
	// Paths say where they are. An empty one is skipped: that file is not used.
	Paths []string
	// Limit bounds each, in bytes.
	Limit int64
}

// Contents are what the files held at one look, not necessarily of one
// generation.
type Contents struct {
	// Bytes are the contents in the order of the paths, nil where one is skipped.
	Bytes [][]byte
	// Exposed says of each file that every user of the machine can read it.
	Exposed []bool
	// sum tells contents apart without keeping a second copy of a key.
	sum [sha256.Size]byte
}

// Same reports whether both have the same content. Who can read the files makes
// no difference, nor does whether Bytes was kept.
func (c Contents) Same(other Contents) bool { return c.sum == other.sum }

// Read reads all files. None may be empty: that is how a file begins which is
// being written.
func (f Files) Read() (Contents, error) {
	c := Contents{Bytes: make([][]byte, len(f.Paths)), Exposed: make([]bool, len(f.Paths))}
	sums := sha256.New()
	for i, path := range f.Paths {
		var sum [sha256.Size]byte // of a file that is skipped
		if path != "" {
			var err error
			if c.Bytes[i], c.Exposed[i], err = read(path, f.Limit); err != nil {
				return Contents{}, fmt.Errorf("reading the %s: %w", f.What, err)
			}
			sum = sha256.Sum256(c.Bytes[i])
		}
		sums.Write(sum[:])
	}
	c.sum = [sha256.Size]byte(sums.Sum(nil))
	return c, nil
}

// read reads a file, and says whether every user of the machine can.
func read(path string, limit int64) (content []byte, worldReadable bool, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, false, err
	}
	if !info.Mode().IsRegular() { // opening a pipe would wait for its writer
		return nil, false, fmt.Errorf("%s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	content, err = io.ReadAll(io.LimitReader(f, limit+1))
	switch {
	case err != nil:
		return nil, false, err
	case len(content) == 0:
		return nil, false, fmt.Errorf("%s: %w", path, errEmpty)
	case int64(len(content)) > limit:
		return nil, false, fmt.Errorf("%s has more than %d bytes", path, limit)
	}
	return content, info.Mode().Perm()&0o004 != 0, nil
}

var errEmpty = errors.New("the file is empty")
