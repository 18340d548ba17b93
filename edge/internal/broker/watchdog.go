package broker

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// watchdog ends a transfer that the broker lets stand still.
type watchdog struct {
	timer *time.Timer

	mu     sync.Mutex
	others int // who are waited for and are not the broker
	fired  bool
}

// watched returns a ctx for a transfer that ends once the broker has let it
// stand still for too long.
func watched(ctx context.Context) (context.Context, *watchdog, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	w := new(watchdog)
	w.timer = time.AfterFunc(Stall, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.others == 0 {
			w.fired = true
			cancel()
		}
	})
	return ctx, w, func() {
		w.hold() // for good
		cancel()
	}
}

// moved says that the transfer goes on.
func (w *watchdog) moved() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.others == 0 {
		w.timer.Reset(Stall)
	}
}

// hold says that somebody else is waited for, until release.
func (w *watchdog) hold() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.others++
	w.timer.Stop()
}

func (w *watchdog) release() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.others--; w.others == 0 {
		w.timer.Reset(Stall)
	}
}

// explain returns err, or the reason for it.
func (w *watchdog) explain(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil && w.fired {
		return status.Errorf(codes.DeadlineExceeded, "the broker let the transfer stand still for %v", Stall)
	}
	return err
}
