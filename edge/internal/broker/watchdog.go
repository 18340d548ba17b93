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

	mu    sync.Mutex
	holds int  // how many sides other than the broker the transfer waits for
	fired bool // the watchdog has ended the transfer
}

// newWatchdog returns a ctx for a transfer. The ctx ends once the broker has let the
// transfer stand still for too long.
func newWatchdog(ctx context.Context) (context.Context, *watchdog, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	w := new(watchdog)
	w.timer = time.AfterFunc(Stall, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.holds == 0 {
			w.fired = true
			cancel()
		}
	})
	return ctx, w, func() {
		w.hold() // for good
		cancel()
	}
}

// progress notes that the transfer makes progress.
func (w *watchdog) progress() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.holds == 0 {
		w.timer.Reset(Stall)
	}
}

// hold notes that the transfer waits for somebody other than the broker, until release.
func (w *watchdog) hold() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.holds++
	w.timer.Stop()
}

// release ends a hold. The broker then has the whole time of Stall again.
func (w *watchdog) release() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.holds--; w.holds == 0 {
		w.timer.Reset(Stall)
	}
}

// explain returns err. If the watchdog caused err, it returns the watchdog's reason.
func (w *watchdog) explain(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil && w.fired {
		return status.Errorf(codes.DeadlineExceeded, "the broker let the transfer stand still for %v", Stall)
	}
	return err
}
