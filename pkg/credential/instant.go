package credential

import "time"

// Clock is the wall clock, the one clock that is handed to the code; a test
// may step it. The monotonic clock is always the process's own.
type Clock func() time.Time

// Now reads both clocks.
func (c Clock) Now() Instant {
	// Round(0) drops the monotonic reading that time.Now carries: comparing
	// with it would hide every step of the wall clock.
	return Instant{wall: c().Round(0), mono: time.Now()}
}

// Instant is one moment by the wall clock and by the monotonic clock. The wall
// clock can be stepped. The monotonic clock stands still while the machine is
// suspended. So an expiry is judged by both clocks, and the earlier one counts. An
// Instant means something only in the process that made it.
type Instant struct{ wall, mono time.Time }

// Add returns the moment d later.
func (i Instant) Add(d time.Duration) Instant {
	return Instant{wall: i.wall.Add(d), mono: i.mono.Add(d)}
}

// Sub returns how long before i the moment now is: the shorter of what the two
// clocks say, negative once either says that i has passed.
func (i Instant) Sub(now Instant) time.Duration {
	return min(i.wall.Sub(now.wall), i.mono.Sub(now.mono))
}

// Passed reports whether, at now, either clock says that i is over.
func (i Instant) Passed(now Instant) bool { return i.Sub(now) <= 0 }

// Wall returns what the wall clock read.
func (i Instant) Wall() time.Time { return i.wall }

// IsZero reports whether i was never set.
func (i Instant) IsZero() bool { return i.mono.IsZero() }

// Parted returns how far the two clocks went apart between i and now.
func (i Instant) Parted(now Instant) time.Duration {
	return (now.wall.Sub(i.wall) - now.mono.Sub(i.mono)).Abs()
}

// Elapsed returns how long after i the moment now is by the monotonic clock.
func (i Instant) Elapsed(now Instant) time.Duration { return now.mono.Sub(i.mono) }

// WallClock is the machine's wall clock.
func WallClock() time.Time { return time.Now() }
