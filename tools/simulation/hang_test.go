package simulation

import (
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/wxbroker/wxbroker/pkg/logqueue"
)

// gate is a gate at which everybody waits while it is shut.
type gate struct {
	mu   sync.Mutex
	shut int           // how many faults keep it shut
	open chan struct{} // closed when no fault keeps it shut any more
}

// change shuts the gate once more, or once less.
func (g *gate) change(by int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut == 0 {
		g.open = make(chan struct{})
	}
	if g.shut += by; g.shut == 0 {
		close(g.open)
	}
}

// release opens the gate, whatever keeps it shut.
func (g *gate) release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut > 0 {
		g.shut = 0
		close(g.open)
	}
}

// pass waits until the gate is open, or died is closed.
func (g *gate) pass(died <-chan struct{}) {
	g.mu.Lock()
	shut, open := g.shut, g.open
	g.mu.Unlock()
	if shut == 0 {
		return
	}
	select {
	case <-open:
	case <-died:
	}
}

// hanging returns a fault in which a disk or the log's reader hangs, for minutes mostly.
func hanging(what string, which func(*world) *gate) fault {
	return func(r *rand.Rand) (string, func(*world)) {
		d := lasting(r)
		return fmt.Sprintf("%s hangs for %v", what, d), func(w *world) {
			g := which(w)
			g.change(1)
			over := w.disturb(4 * time.Minute)
			over() // as with a full disk, only the operator may notice
			w.after(d, what+" answers again", func(w *world) {
				g.change(-1)
				w.disturb(time.Minute)()
			})
		}
	}
}

var (
	hangingDisk = hanging("the disk", func(w *world) *gate { return &w.diskGate })
	hangingLog  = hanging("the log's reader", func(w *world) *gate { return &w.logGate })
)

// openLog returns the broker's log, with the queue that a serving broker has.
func (w *world) openLog() (log *slog.Logger, closeLog func()) {
	queue := logqueue.New("wxbroker", reader{w})
	untimed := func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}
	return queue.Logger(func(out io.Writer) slog.Handler {
		return slog.NewTextHandler(out, &slog.HandlerOptions{ReplaceAttr: untimed})
	}), queue.Close
}

// reader reads the broker's log and writes it into the history.
type reader struct{ w *world }

func (r reader) Write(p []byte) (int, error) {
	r.w.logGate.pass(nil)
	r.w.history.addf("broker: %s", strings.TrimSuffix(string(p), "\n"))
	return len(p), nil
}
