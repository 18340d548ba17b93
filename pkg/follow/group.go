package follow

import (
	"context"
	"crypto/sha256"
	"fmt"
)

// Group is one file, or several that mean something only together.
type Group struct {
	// What they are, for log lines and errors: "TLS files", say.
	What string
	// Paths say where they are. An empty one is skipped: that file is not used.
	Paths []string
	// Limit bounds each, in bytes.
	Limit int64
}

// Contents are what the files held at one look. They may be of different generations.
type Contents struct {
	// Files are in the order of the paths, zero where one is skipped.
	Files []File
	// Fingerprint tells contents apart without keeping a second copy of a key.
	Fingerprint Fingerprint
}

// Fingerprint is a hash over the contents of a group's files. Who can read the
// files makes no difference. The zero value is that of no contents.
type Fingerprint [sha256.Size]byte

// Read reads all files as [Read] does.
func (g Group) Read(ctx context.Context) (Contents, error) {
	c := Contents{Files: make([]File, len(g.Paths))}
	all := sha256.New()
	for i, path := range g.Paths {
		var sum [sha256.Size]byte // of a file that is skipped
		if path != "" {
			var err error
			if c.Files[i], err = Read(ctx, path, g.Limit); err != nil {
				return Contents{}, fmt.Errorf("reading the %s: %w", g.What, err)
			}
			sum = sha256.Sum256(c.Files[i].Bytes)
		}
		all.Write(sum[:])
	}
	c.Fingerprint = Fingerprint(all.Sum(nil))
	return c, nil
}
