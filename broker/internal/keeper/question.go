package keeper

import (
	"context"
	"errors"
)

// ErrStopped is returned to whoever asks a keeper that has stopped.
var ErrStopped = errors.New("the keeper has stopped")

// question is something to be done on the keeper's goroutine, where alone its
// state may be looked at. Calls to WeChat that it makes end with calls.
type question func(calls context.Context)

// ask lets q run on the keeper's goroutine and waits for its end. The error is
// ctx's, or ErrStopped; q may still run after the former.
func (k *Keeper) ask(ctx context.Context, q question) error {
	done := make(chan struct{})
	select {
	case k.questions <- func(calls context.Context) { defer close(done); q(calls) }:
	case <-ctx.Done():
		return ctx.Err()
	case <-k.stopped:
		return ErrStopped
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-k.stopped:
		return ErrStopped
	}
}

// Settle returns once what the keeper does now is done, such as a refresh. The
// error is ctx's, or ErrStopped.
func (k *Keeper) Settle(ctx context.Context) error {
	return k.ask(ctx, func(context.Context) {})
}
