package tlsfile

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"
)

const (
	// interval is how often the files are looked at.
	interval = 2 * time.Second
	// patience is how long files may be unusable before somebody is told. Who
	// writes them in place needs a moment, and kubelet a longer one.
	patience = 10 * time.Second
)

// Run follows the files until ctx ends. Only one may run at a time.
func (s *Source) Run(ctx context.Context, log *slog.Logger) {
	f := follower{Source: s, log: log}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			f.look(time.Now())
		}
	}
}

// follower is what Run remembers from one look at the files to the next.
type follower struct {
	*Source
	log   *slog.Logger
	last  sums      // what the last look found, if it could read all of it
	since time.Time // from when on the files could not be used, or zero
	told  string    // what of that was logged last
}

func (f *follower) look(now time.Time) {
	current := f.current.Load()
	next, err := f.next(current)
	if err != nil {
		f.complain(now, err)
		next = current
	} else {
		if f.told != "" {
			f.log.Info("the TLS files can be used again")
		}
		f.since, f.told = time.Time{}, ""
	}
	if next != current {
		f.current.Store(next)
		f.log.Info("the TLS files have changed, using the new ones from now on", next.attributes()...)
	}
	f.warn(next.warnings(f.files, now))
}

var errUnsettled = errors.New("the TLS files keep changing")

// next returns what is to be used from now on: current, or what is new.
func (f *follower) next(current *material) (*material, error) {
	found, err := f.files.read()
	if err != nil {
		f.last = sums{}
		return nil, err
	}
	settled := found.sums == f.last
	f.last = found.sums
	switch {
	case found.sums == current.sums:
		return current, nil
	case !settled:
		return nil, errUnsettled
	}
	return f.files.parse(found)
}

// complain logs what lasts, once for each thing that is wrong. That files
// which were wrong are being written again is no news.
func (f *follower) complain(now time.Time, err error) {
	if f.since.IsZero() {
		f.since = now
	}
	wait := patience
	if errors.Is(err, errUnsettled) {
		wait *= 2 // after a long gap, the second half deserves its second look
		if f.told != "" {
			return
		}
	}
	if now.Sub(f.since) < wait || f.told == err.Error() {
		return
	}
	f.told = err.Error()
	f.log.Warn("the TLS files on disk cannot be used, going on with those from before", "error", err)
}

// warn logs what was not so at the last look.
func (f *follower) warn(warnings []string) {
	for _, w := range warnings {
		if !slices.Contains(f.warned, w) {
			f.log.Warn("TLS needs attention", "what", w)
		}
	}
	f.warned = warnings
}
