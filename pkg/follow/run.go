package follow

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

const (
	// interval is how often the files are looked at.
	interval = 2 * time.Second
	// patience is how long files may be unusable before somebody is told. Who
	// writes them in place needs a moment, and kubelet a longer one.
	patience = 10 * time.Second
)

// Run looks at the files until ctx ends, and calls use with content that is not
// the current one and has settled. What use takes is the current content from
// then on; that it changed is for use to log. An error of use, which names the
// file but quotes nothing of it, leaves what was in use, and use is asked again
// at the next look: there may be more to it than the content. So it is when
// the files are back to what is in use, that it may forget what was wrong. What
// lasts is logged, once for each thing that is wrong, and that it is over too.
func (f Files) Run(ctx context.Context, log *slog.Logger, current Contents, use func(Contents) error) {
	w := watcher{files: f, log: log.With("files", f.What), current: current, use: use}
	w.current.Bytes = nil // only compared
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			w.look(time.Now())
		}
	}
}

// watcher is what Run remembers from one look at the files to the next.
type watcher struct {
	files   Files
	log     *slog.Logger
	use     func(Contents) error
	current Contents  // what is in use
	refused bool      // use has refused something since it took what is in use
	last    Contents  // what the last look found, if it could read all of it
	since   time.Time // from when on the files could not be used, or zero
	told    string    // what of that was logged last
}

func (w *watcher) look(now time.Time) {
	if err := w.next(); err != nil {
		w.complain(now, err)
		return
	}
	if w.told != "" {
		w.log.Info("the files can be used again")
	}
	w.since, w.told = time.Time{}, ""
}

var errUnsettled = errors.New("they keep changing")

// next takes into use what is new and has settled.
func (w *watcher) next() error {
	found, err := w.files.Read()
	if err != nil {
		w.last = Contents{}
		return err
	}
	settled := found.Same(w.last)
	w.last = Contents{sum: found.sum}
	switch {
	case found.Same(w.current) && !w.refused:
		return nil
	case !settled:
		return errUnsettled
	}
	err = w.use(found)
	if w.refused = err != nil; !w.refused {
		w.current = w.last
	}
	return err
}

// complain logs what lasts, once for each thing that is wrong. That files
// which were wrong are being written again is no news.
func (w *watcher) complain(now time.Time, err error) {
	if w.since.IsZero() {
		w.since = now
	}
	wait := patience
	if errors.Is(err, errUnsettled) {
		wait *= 2 // after a long gap, the second half deserves its second look
		if w.told != "" {
			return
		}
	}
	if now.Sub(w.since) < wait || w.told == err.Error() {
		return
	}
	w.told = err.Error()
	w.log.Warn("the files on disk cannot be used, going on with what was read before", "error", err)
}
