package keeper

import (
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
)

// slot is what is known of one kind of credential.
type slot struct {
	kind    credential.Kind
	value   credential.Secret
	version int64

	fetched  credential.Instant // just before the last call that gave value
	lifetime time.Duration      // expires_in of that call
	expiry   credential.Instant // hard expiry
	due      credential.Instant // zero: at once
	refused  bool               // WeChat said that value is no good
	// undated is set while nobody knows how old the value is, because it was
	// restored by a wall clock that was set back. The value is not handed out then.
	undated bool

	// past are the values before this one, the newest last.
	past []issue
	// earlyEnds are the moments of the last day at which the keeper found that a
	// value had ended before its time.
	earlyEnds []time.Time
	checked   credential.Instant // when WeChat was last asked because it was reported

	highestClaim int64 // the highest version that an edge was seen to hold
	remint       bool  // the next answer is a new version even if it is the same value

	seen sightings // of tickets

	trouble trouble
	// unansweredSince is the start of the first call, since the last good one, that
	// WeChat may have carried out although no answer arrived. It may have replaced
	// the value then. It is zero where every call was answered.
	unansweredSince credential.Instant

	changed        change // since it was last stored
	saveFailed     bool   // the store refused the slot, at unsavedVersion
	unsavedVersion int64
	storedWait     bool // the store has a wait that WeChat asked for
}

// change is how much of a slot the store does not have.
type change int

const (
	nothing     change = iota
	momentsOnly        // the same value was read again
	all
)

// note takes note that the store does not have c of the slot.
func (s *slot) note(c change) { s.changed = max(s.changed, c) }

// issue is a value that was handed out, by its SHA-256 in hex.
type issue struct {
	Hash    string `json:"hash"`
	Version int64  `json:"version"`
}

// rememberedIssues is how many earlier values of a kind are remembered, so that a
// report of one is recognised. The current value comes on top.
const rememberedIssues = 32

// retire remembers the current value, which is about to be replaced.
func (s *slot) retire() {
	if !s.held() {
		return
	}
	s.past = append(s.past, issue{hash(s.value), s.version})
	s.past = s.past[max(0, len(s.past)-rememberedIssues):]
}

func (s *slot) held() bool { return !s.value.IsZero() }

// isLive reports whether the value may be used at now.
func (s *slot) isLive(now credential.Instant) bool {
	return s.held() && !s.refused && !s.undated && !s.expiry.Passed(now)
}

// purpose says what a call for this kind is for at now.
func (s *slot) purpose(now credential.Instant) purpose {
	if s.isLive(now) && s.expiry.Sub(now) > s.lastGasp() {
		return scheduled
	}
	return recovery
}

// lastGasp is how long before its expiry the renewal of a value counts as
// recovery.
func (s *slot) lastGasp() time.Duration { return min(time.Minute, s.lifetime/10) }

// next returns when the keeper acts next: at the end of a back-off, or else at
// the due moment.
func (s *slot) next() credential.Instant {
	if !s.trouble.retry.IsZero() {
		return s.trouble.retry
	}
	return s.due
}

func (s *slot) isDue(now credential.Instant) bool {
	next := s.next()
	return next.IsZero() || next.Passed(now)
}

// take makes what WeChat handed out the current value. start is the moment before
// the call, from which its lifetime counts. version was reserved before the call.
// rotated is whether the value is another one than before.
func (s *slot) take(grant wechat.Grant, start credential.Instant, version int64) (rotated bool) {
	rotated = !grant.Value.Equal(s.value)
	if rotated {
		s.retire()
	}
	if rotated || s.remint {
		s.version = version
		s.note(all)
	}
	if s.refused || s.undated || s.storedWait {
		s.note(all)
	}
	s.note(momentsOnly)
	s.value, s.fetched, s.lifetime = grant.Value, start, grant.Lifetime
	s.refused, s.undated, s.remint, s.unansweredSince, s.trouble = false, false, false, credential.Instant{}, trouble{}
	return rotated
}

// noteUnanswered notes that WeChat may have carried out a call that began at
// start, although no answer arrived.
func (s *slot) noteUnanswered(start credential.Instant) {
	if s.unansweredSince.IsZero() || start.Sub(s.unansweredSince) < 0 {
		s.unansweredSince = start
	}
}

// betweenChecks is the shortest time between two questions to WeChat whether a
// value is still good. So it is also the shortest time between two rotations that
// a refusal causes.
const betweenChecks = time.Minute

// mayCheck reports whether WeChat may be asked now, and notes that it was.
func (s *slot) mayCheck(now credential.Instant) bool {
	if !s.checked.IsZero() && s.checked.Elapsed(now) < betweenChecks {
		return false
	}
	s.checked = now
	return true
}

// refuse notes that WeChat refuses the value.
func (s *slot) refuse(now credential.Instant) {
	s.refused, s.expiry, s.due = true, now, now
	s.note(all) // or a restart would revive it
}

// earlyEndWindow is how long the keeper remembers early ends.
const earlyEndWindow = 24 * time.Hour

// addEarlyEnd notes that the value ended before its time. It returns how many
// values did so in the last day.
func (s *slot) addEarlyEnd(now time.Time) int {
	s.earlyEnds = append(earlyEndsSince(s.earlyEnds, now.Add(-earlyEndWindow)), now)
	s.note(all)
	return len(s.earlyEnds)
}

// earlyEndsSince returns the ends that lie after that moment.
func earlyEndsSince(ends []time.Time, after time.Time) []time.Time {
	var recent []time.Time
	for _, t := range ends {
		if t.After(after) {
			recent = append(recent, t)
		}
	}
	return recent
}

// claim notes that an edge holds that version, and reports whether it is news. A
// newer version than ours proves that the database is an old copy. The keeper then
// reads the value again and gives it a version above the edge's. classic is whether
// this is a classic token.
func (s *slot) claim(version int64, classic bool) bool {
	if version <= max(s.version, s.highestClaim) {
		return false
	}
	s.highestClaim = version
	if !s.held() {
		return false // the first value will be minted above it
	}
	s.remint = true
	// Claims cause no more than one call a minute. A classic token is not fetched
	// twice within its overlap, which would end the one before.
	soonest := s.fetched.Add(time.Minute)
	if classic {
		soonest = s.fetched.Add(overlap)
	}
	if s.due.Sub(soonest) > 0 {
		s.due = soonest
	}
	return true
}
