package keeper

import (
	"context"
	"errors"
)

// ErrStopped is the error for a question to a keeper that has stopped, when no
// other keeper has taken its place.
var ErrStopped = errors.New("the keeper has stopped")

// question is a function that runs on a keeper's goroutine. Only there may a
// function look at the keeper's state. The calls to WeChat that it makes end with
// the context calls.
type question func(calls context.Context, k *Keeper)

// ask runs q on the keeper's goroutine and waits for its end. Where another keeper
// has taken the place of this one, q runs on that one's goroutine. The error is
// ctx's, or ErrStopped. After ctx's error q may still run.
func (k *Keeper) ask(ctx context.Context, q question) error {
	for ; k != nil; k = k.successor.Load() {
		done := make(chan struct{})
		select {
		case k.questions <- func(calls context.Context, k *Keeper) { defer close(done); q(calls, k) }:
		case <-ctx.Done():
			return ctx.Err()
		case <-k.stopped:
			continue
		}
		select {
		case <-done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-k.stopped:
		}
		select {
		case <-done:
			return nil
		default: // q has not begun
		}
	}
	return ErrStopped
}

// Settle waits until the keeper has done what it does now, such as a refresh. The
// error is ctx's, or ErrStopped.
func (k *Keeper) Settle(ctx context.Context) error {
	return k.ask(ctx, func(context.Context, *Keeper) {})
}
