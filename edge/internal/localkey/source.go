package localkey

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/wxbroker/wxbroker/pkg/follow"
)

// Source is a file of keys. The keys may change while they are in use. Without
// [Source.Run] they stay as they were loaded. A nil Source has no keys.
type Source struct {
	path    string
	loaded  follow.Fingerprint
	current atomic.Pointer[Keys]
}

// maxFile bounds the file, in bytes.
const maxFile = 64 << 10

// Load reads a key file: one key, or lines of `name key`. Empty lines and
// lines that start with # are skipped. worldReadable is set when every user of
// the machine can read it.
func Load(ctx context.Context, path string) (source *Source, worldReadable bool, err error) {
	s := &Source{path: path}
	read, err := s.group().Read(ctx)
	if err != nil {
		return nil, false, err
	}
	if err := s.use(read); err != nil {
		return nil, false, err
	}
	s.loaded = read.Fingerprint
	return s, read.Files[0].Exposed, nil
}

func (s *Source) group() follow.Group {
	return follow.Group{What: "local keys", Paths: []string{s.path}, Limit: maxFile}
}

func (s *Source) use(c follow.Contents) error {
	keys, err := parse(c.Files[0].Bytes)
	if err != nil {
		return fmt.Errorf("reading the local keys from %s: %w", s.path, err)
	}
	s.current.Store(&keys)
	return nil
}

// Current returns the keys that count now.
func (s *Source) Current() Keys {
	if s == nil {
		return Keys{}
	}
	return *s.current.Load()
}

// Run follows the file until ctx ends. A key that was taken out of the file unlocks
// nothing some seconds later. If only comments are left, nothing is unlocked. While
// the file cannot be used, the keys from before count. A file that is empty or
// missing counts as one that is being written. Run may be called once.
func (s *Source) Run(ctx context.Context, log *slog.Logger) {
	s.group().Run(ctx, log, s.loaded, func(c follow.Contents) error {
		err := s.use(c)
		if errors.Is(err, errNone) { // whoever took out the last key meant to
			s.current.Store(&Keys{})
			log.Warn("the local key file holds no key any more, nothing is unlocked until there is one", "file", s.path)
			return nil
		}
		if err != nil {
			return err
		}
		log.Info("the local keys have changed, using the new ones from now on", "file", s.path, "keys", len(s.Current().keys))
		if c.Files[0].Exposed {
			log.Warn("the local key file can be read by every user of this machine: chmod 600 it", "file", s.path)
		}
		return nil
	})
}
