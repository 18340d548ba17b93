// Package clocktest has a wall clock that can be stepped, beside the monotonic clock, which
// cannot.
package clocktest

import (
	"sync/atomic"
	"time"
)

// Wall is a wall clock. The zero value shows the machine's time, or a synctest bubble's.
type Wall struct {
	stepped atomic.Int64 // nanoseconds
}

// Now returns what the clock shows.
func (w *Wall) Now() time.Time { return time.Now().Add(w.Stepped()) }

// Step sets the clock forward, or back with less than nothing.
func (w *Wall) Step(d time.Duration) { w.stepped.Add(int64(d)) }

// Stepped returns how far the clock was set forward altogether.
func (w *Wall) Stepped() time.Duration { return time.Duration(w.stepped.Load()) }
