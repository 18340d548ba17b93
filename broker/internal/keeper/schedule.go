package keeper

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
)

const (
	// maxLead is the longest time before its expiry that a classic token is due.
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
	// maxLate is the longest once a ticket should have expired and has not. With
	// proofMargin it stays below the five minutes for which WeChat keeps the
	// old one beside a new one, so the end is seen before it comes.
	maxLate = 3 * time.Minute
	// minReread is the shortest, for lifetimes like WeChat's.
	minReread = 30 * time.Second
	// proofMargin is added to the next reading when a ticket that should have
	// expired turns out good: time for that reading and a few retries.
	proofMargin = time.Minute
	// rounding is how much of a lifetime WeChat's whole seconds can hide.
	rounding = time.Second
)

// chance is a random number from 0 to 1, which whoever decides is given.
type chance float64

// jitter returns up to a tenth of d, so that accounts that started together do
// not stay together.
func (c chance) jitter(d time.Duration) time.Duration { return c.of(d / 10) }

// of returns that part of d.
func (c chance) of(d time.Duration) time.Duration { return time.Duration(float64(c) * float64(d)) }

// tokenWait returns how long after a fetch the token is due. same is whether the
// fetch gave the value that was there.
func tokenWait(lifetime time.Duration, same, stable bool, c chance) time.Duration {
	var wait time.Duration
	switch {
	case same: // not a rotation: ask again when half of the rest is gone
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

// reread returns how long after a reading a ticket is read again: when half of
// what remains is gone, and at the latest just after its expected expiry.
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

// unsureReread returns how long after a reading a ticket is read again that may end
// after remaining already. WeChat has the next one in the last five minutes, so from
// then on it is read so often that none of them passes unseen.
func unsureReread(remaining, lifetime time.Duration) time.Duration {
	return max(remaining-min(overlap, lifetime/24), min(overlap-time.Minute, lifetime/30), minGap)
}

// tooShort says what is wrong with a value that WeChat handed out. A value that
// we have may be in its last second; a new one that is over already would be
// asked for again and again.
func (s *slot) tooShort(grant wechat.Grant) string {
	if grant.Lifetime >= minGap || grant.Value.Equal(s.value) {
		return ""
	}
	return "WeChat handed out a new value that expires at once"
}

// sightings remembers when each value of a ticket is expected to expire, by
// SHA-256, counted from the first time it was seen. A value that was replaced stays
// remembered, so that it is not young when it returns.
type sightings map[string]sighting

type sighting struct {
	// Expected is the expiry by the wall clock.
	Expected time.Time `json:"expected"`
	// Unsure is how long before Expected the value may end, in nanoseconds: WeChat
	// may have made it for a call whose answer was lost, that long before it was seen
	// first.
	Unsure time.Duration `json:"unsure,omitempty"`
	// Lifetime is expires_in when it was first seen, in nanoseconds.
	Lifetime time.Duration `json:"lifetime"`
	// Late counts the readings after Expected that gave the value again.
	Late int `json:"late,omitempty"`
	// at is Expected by both clocks, for values first seen in this process.
	at credential.Instant
}

// remembered returns how long after its expected expiry a value of that
// lifetime is remembered: a day for WeChat's two hours, less where values are
// shorter-lived and so more numerous.
func remembered(lifetime time.Duration) time.Duration { return min(24*time.Hour, 12*lifetime) }

func hash(value credential.Secret) string {
	sum := sha256.Sum256([]byte(value.Reveal()))
	return hex.EncodeToString(sum[:])
}

// early reports whether a value that is gone at start is gone before its time.
// WeChat has the next one in the last minutes of its life; before that, somebody
// ended it. next is the lifetime of the value that took its place: one that was
// first seen late in its life had less, and its last minutes are no shorter.
func (seen sightings) early(value credential.Secret, next time.Duration, start credential.Instant) bool {
	s := seen[hash(value)]
	left := s.Expected.Sub(start.Wall())
	if !s.at.IsZero() { // seen in this process
		left = s.at.Sub(start)
	}
	return left > s.Unsure+min(maxLead, max(s.Lifetime, next)/4)
}

// age says when a ticket that was read at start hard-expires, and when it is to
// be read again. WeChat may say a whole lifetime of a ticket that is old, so its
// life counts from when it was seen first. unanswered is when the first call began
// since the last good one whose answer was lost, zero for none.
func (seen sightings) age(grant wechat.Grant, start, unanswered credential.Instant) (expiry, due credential.Instant) {
	claimed := start.Add(grant.Lifetime) // what WeChat says, fresh-looking or not
	hashed := hash(grant.Value)
	first, again := seen[hashed]
	switch {
	case !again:
		first = sighting{Lifetime: grant.Lifetime, at: claimed}
		if !unanswered.IsZero() {
			first.Unsure = min(start.Sub(unanswered), grant.Lifetime)
		}
	case first.at.IsZero(): // from the store, judged by the wall clock until now
		first.at = start.Add(min(first.Expected.Sub(start.Wall()), first.Lifetime))
	}
	left := func(i credential.Instant) time.Duration { return i.Sub(start) }
	if really := -first.at.Elapsed(start); left(first.at) <= 0 && really > 0 {
		// The wall clock says that it is over and WeChat still hands it out: it
		// was the clock that was stepped.
		first.at = start.Add(really)
	}
	if left(first.at) > left(claimed)+rounding {
		first.at = claimed // WeChat says that it dies earlier: believe it
	}
	if again && left(first.at) > left(claimed)-rounding {
		first.Unsure = 0 // it counts down, and so does not look fresh
	}
	if left(first.at) <= 0 {
		first.Late++
	}
	first.Expected = first.at.Wall()
	seen[hashed] = first
	maps.DeleteFunc(seen, func(_ string, s sighting) bool { return start.Wall().Sub(s.Expected) > remembered(s.Lifetime) })

	wait := reread(left(first.at), first.Lifetime)
	if first.Unsure > 0 {
		wait = min(wait, unsureReread(left(first.at)-first.Unsure, first.Lifetime))
	}
	if left(first.at) <= 0 {
		// It lives longer than it should: less and less often, unless WeChat
		// itself says that its end is near.
		wait = min(doubled(wait, first.Late, min(maxLate, first.Lifetime/7)), reread(grant.Lifetime, first.Lifetime))
	}
	due = start.Add(wait)
	// That WeChat returned it proves it good now, whatever its age. So it is
	// good at least until the next reading, but never longer than WeChat says.
	proven := min(left(due)+min(proofMargin, first.Lifetime/10), grant.Lifetime)
	if expiry = first.at; left(expiry) < proven {
		expiry = start.Add(proven)
	}
	return expiry, due
}
