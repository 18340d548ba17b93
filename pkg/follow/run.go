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
	// patience is how long files may be unusable before that is logged: a writer
	// in place needs a moment, and kubelet a longer one.
	patience = 10 * time.Second
)

// Run looks at the files until ctx ends, and calls use with content that has settled
// and is not in use yet. inUse is the fingerprint of the content in use. Content that
// use accepts is in use from then on; use logs the change.
//
// If use returns an error, the old content stays in use. The error has to name the
// file and quote nothing of it. Run calls use again at each look, since the cause may
// lie outside the files. It calls use once more when the files are back to the content
// in use, so that use can forget its error. Trouble that lasts is logged once for each
// cause, and its end too.
func (g Group) Run(ctx context.Context, log *slog.Logger, inUse Fingerprint, use func(Contents) error) {
	w := watcher{group: g, log: log.With("files", g.What), inUse: inUse, use: use}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			w.look(ctx, time.Now())
		}
	}
}

// watcher is what Run remembers from one look at the files to the next.
type watcher struct {
	group   Group
	log     *slog.Logger
	use     func(Contents) error
	inUse   Fingerprint
	refused bool        // use has refused something since it accepted what is in use
	last    Fingerprint // what the last look found, zero if a file could not be read
	since   time.Time   // when the files stopped being usable, or zero
	told    string      // the trouble that was logged last
}

func (w *watcher) look(ctx context.Context, now time.Time) {
	err := w.next(ctx)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		w.complain(now, err)
		return
	}
	if w.told != "" {
		w.log.Info("the files can be used again")
	}
	w.since, w.told = time.Time{}, ""
}

var errUnsettled = errors.New("they keep changing")

// next takes content into use that is new and has settled.
func (w *watcher) next(ctx context.Context) error {
	found, err := w.group.Read(ctx)
	if err != nil {
		w.last = Fingerprint{}
		return err
	}
	settled := found.Fingerprint == w.last
	w.last = found.Fingerprint
	switch {
	case found.Fingerprint == w.inUse && !w.refused:
		return nil
	case !settled:
		return errUnsettled
	}
	err = w.use(found)
	if w.refused = err != nil; !w.refused {
		w.inUse = found.Fingerprint
	}
	return err
}

// complain logs trouble that lasts, once for each cause. While files that were wrong
// are being written again, it logs nothing.
func (w *watcher) complain(now time.Time, err error) {
	if w.since.IsZero() {
		w.since = now
	}
	wait := patience
	if errors.Is(err, errUnsettled) {
		wait *= 2 // the second half of a slow change needs a second look as well
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
