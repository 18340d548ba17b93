package keeper

import (
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/wechat"
)

const (
	// maxLead is how long before its expiry a classic token is due, at most.
	maxLead = 10 * time.Minute
	// stableLead is how long before its expiry the stable token is due: just
	// inside the last five minutes, in which WeChat hands out the next one.
	stableLead = 290 * time.Second
	// overlap is how long WeChat honours a classic token after its successor
	// was fetched.
	overlap = 5 * time.Minute
	// minGap is the shortest time between two scheduled calls.
	minGap = time.Second

	// maxReread is the longest time between two readings of a ticket.
	maxReread = 10 * time.Minute
	// maxLate is the longest time between two readings of a ticket that should have
	// expired and has not. WeChat keeps an old ticket for five minutes beside a new
	// one. maxLate and proofMargin together stay below that, so the keeper sees the
	// end before it comes.
	maxLate = 3 * time.Minute
	// minReread is the shortest time between two readings, for lifetimes like
	// WeChat's.
	minReread = 30 * time.Second
	// proofMargin is how long after its next reading a ticket stays good that
	// should have expired and was read again. It leaves time for that reading and a
	// few retries.
	proofMargin = time.Minute
	// rounding is how much of a lifetime WeChat's whole seconds can hide.
	rounding = time.Second
)

// chance is a random number from 0 to 1. Functions that decide take it as an
// argument, so that they have no side effects.
type chance float64

// jitter returns up to a tenth of d, so that accounts that started together do
// not stay together.
func (c chance) jitter(d time.Duration) time.Duration { return c.of(d / 10) }

// of returns the part c of d.
func (c chance) of(d time.Duration) time.Duration { return time.Duration(float64(c) * float64(d)) }

// tokenWait returns how long after a fetch the token is due. same is whether the
// fetch gave the same value as before.
func tokenWait(lifetime time.Duration, same, stable bool, c chance) time.Duration {
	var wait time.Duration
	switch {
	case same: // no rotation: ask again when half of the rest is gone
		wait = lifetime / 2
	case stable:
		lead := min(stableLead, lifetime/2)
		wait = lifetime - lead + c.jitter(lead) // only later: earlier gives the same
	default:
		lead := min(maxLead, lifetime/10)
		wait = lifetime - lead - c.jitter(lead)
	}
	return max(wait, minGap)
}

// reread returns how long after a reading a ticket is read again. That is when
// half of what remains is gone, and at the latest just after its expected expiry.
func reread(remaining, lifetime time.Duration) time.Duration {
	shortest := max(min(minReread, lifetime/20), minGap)
	switch {
	case remaining/2 >= shortest:
		return min(remaining/2, maxReread)
	case remaining > 0:
		return max(remaining+rounding, shortest)
	default:
		return shortest
	}
}

// unsureReread returns how long after a reading a ticket is read again whose age is
// not sure, so that it may end as early as after remaining. WeChat has the next
// ticket in the last five minutes. From then on the ticket is read so often that
// the keeper sees every new one.
func unsureReread(remaining, lifetime time.Duration) time.Duration {
	return max(remaining-min(overlap, lifetime/24), min(overlap-time.Minute, lifetime/30), minGap)
}

// tooShort says what is wrong with a value that WeChat handed out, "" for nothing.
// A value that we have may be in its last second. But if a new value expires at
// once, the keeper would ask for it again and again.
func (s *slot) tooShort(grant wechat.Grant) string {
	if grant.Lifetime >= minGap || grant.Value.Equal(s.value) {
		return ""
	}
	return "WeChat handed out a new value that expires at once"
}
