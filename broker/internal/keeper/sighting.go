package keeper

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
)

// sightings remembers when each value of a ticket is expected to expire, by the
// value's SHA-256. The expiry counts from the first time that the value was seen. A
// value that was replaced stays remembered, so that it does not count as young when
// it returns.
type sightings map[string]sighting

// sighting is what is known of one value of a ticket.
type sighting struct {
	// Expected is the expiry by the wall clock.
	Expected time.Time `json:"expected"`
	// Unsure is how long before Expected the value may end, in nanoseconds. WeChat
	// may have made the value for a call whose answer was lost, that long before the
	// value was first seen.
	Unsure time.Duration `json:"unsure,omitempty"`
	// Lifetime is expires_in when the value was first seen, in nanoseconds.
	Lifetime time.Duration `json:"lifetime"`
	// Late counts the readings after Expected that gave the value again.
	Late int `json:"late,omitempty"`
	// at is Expected by both clocks, for values first seen in this process.
	at credential.Instant
}

// memoryTime returns how long after its expected expiry a value of that lifetime
// is remembered. It is a day for WeChat's two hours, and less where values live
// shorter and so are more numerous.
func memoryTime(lifetime time.Duration) time.Duration { return min(24*time.Hour, 12*lifetime) }

func hash(value credential.Secret) string {
	sum := sha256.Sum256([]byte(value.Reveal()))
	return hex.EncodeToString(sum[:])
}

// early reports whether a value that is gone at start ended before its time. WeChat
// has the next value in the last minutes of a value's life. If it has one before
// that, somebody ended the value. next is the lifetime of the value that took its
// place. It counts too because a value that was first seen late in its life had a
// smaller lifetime, while its last minutes are no shorter.
func (seen sightings) early(value credential.Secret, next time.Duration, start credential.Instant) bool {
	s := seen[hash(value)]
	left := s.Expected.Sub(start.Wall())
	if !s.at.IsZero() { // seen in this process
		left = s.at.Sub(start)
	}
	return left > s.Unsure+min(maxLead, max(s.Lifetime, next)/4)
}

// age returns when a ticket that was read at start hard-expires, and when it is due
// to be read again. WeChat may give a whole lifetime for a ticket that is old. So
// its life counts from when it was first seen. unanswered is the start of the first
// call since the last good one whose answer was lost, zero for none.
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
		// By the wall clock the ticket has expired, and WeChat still hands it out.
		// So the wall clock was stepped.
		first.at = start.Add(really)
	}
	if left(first.at) > left(claimed)+rounding {
		first.at = claimed // WeChat gives an earlier end: believe it
	}
	if again && left(first.at) > left(claimed)-rounding {
		first.Unsure = 0 // its expires_in counts down, so WeChat does not make it look fresh
	}
	if left(first.at) <= 0 {
		first.Late++
	}
	first.Expected = first.at.Wall()
	seen[hashed] = first
	maps.DeleteFunc(seen, func(_ string, s sighting) bool { return start.Wall().Sub(s.Expected) > memoryTime(s.Lifetime) })

	wait := reread(left(first.at), first.Lifetime)
	if first.Unsure > 0 {
		wait = min(wait, unsureReread(left(first.at)-first.Unsure, first.Lifetime))
	}
	if left(first.at) <= 0 {
		// The ticket lives longer than it should. It is read less and less often,
		// unless WeChat itself says that its end is near.
		wait = min(doubled(wait, first.Late, min(maxLate, first.Lifetime/7)), reread(grant.Lifetime, first.Lifetime))
	}
	due = start.Add(wait)
	// WeChat returned the ticket, which proves that it is good now, whatever its
	// age. So it counts as good at least until the next reading, but never longer
	// than WeChat says.
	proven := min(left(due)+min(proofMargin, first.Lifetime/10), grant.Lifetime)
	if expiry = first.at; left(expiry) < proven {
		expiry = start.Add(proven)
	}
	return expiry, due
}
