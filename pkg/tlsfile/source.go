package tlsfile

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Source is TLS material that may change while it is in use. Any number of servers and
// clients may take their configuration from one Source, and all of them follow its
// changes. Without [Source.Run] it stays as it was loaded.
type Source struct {
	files   Files
	current atomic.Pointer[material]

	mu     sync.Mutex
	warned []string // what Load returned, then what Run found last
}

// Load reads the files. Warnings say what an operator should mend though it may work
// for now: a key that every user can read, a certificate that has expired. Files
// without any path are for a client that is anonymous and trusts the system's CAs.
func Load(ctx context.Context, files Files) (source *Source, warnings []string, err error) {
	if err := files.check(); err != nil {
		return nil, nil, err
	}
	c, err := files.group().Read(ctx)
	if err != nil {
		return nil, nil, err
	}
	m, err := files.parse(c)
	if err != nil {
		return nil, nil, err
	}
	s := &Source{files: files, warned: m.warnings(files, time.Now())}
	s.current.Store(m)
	return s, slices.Clone(s.warned), nil
}
