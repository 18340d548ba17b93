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
	// undated is set while nobody knows how old the value is: it was restored
	// by a wall clock that was set back. It is not handed out then.
	undated bool

	// past are the values before this one, the newest last.
	past []issue
	// died are the moments of the last day at which a value turned out to have
	// ended before its time.
	died    []time.Time
	checked credential.Instant // when WeChat was last asked because it was reported

	claimed int64 // the highest version that an edge was seen to hold
	remint  bool  // the next answer is a new version even if it is the same value

	seen sightings // of tickets

	trouble trouble
	// unanswered is the start of the first call since the last good one that may
	// have been done without our learning of it: the value may have been replaced
	// then. It is zero where every call was answered.
	unanswered credential.Instant

	changed    change // since it was last stored
	saveFailed bool   // the store refused it, at the version unsaved
	unsaved    int64
	waits      bool // the store has a wait that WeChat asked for
}

// change says how much of a slot the store does not have.
type change int

const (
	nothing    change = iota
	itsMoments        // the same value was read again
	all
)

// note takes note that the store does not have that much.
func (s *slot) note(c change) { s.changed = max(s.changed, c) }

// issue is a value that was handed out, by SHA-256 in hex.
type issue struct {
	Hash    string `json:"hash"`
	Version int64  `json:"version"`
}

// rememberedIssues is how many values of a kind are known when they are
// reported, besides the current one.
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

// lastGasp is the end of a value's life in which renewing it is recovery.
func (s *slot) lastGasp() time.Duration { return min(time.Minute, s.lifetime/10) }

// next returns when something is to be done: the end of a back-off, else the
// due moment.
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

// take makes what WeChat handed out the current value. version is the one that
// was reserved before the call, since when it counts. rotated is whether it is
// another value.
func (s *slot) take(grant wechat.Grant, start credential.Instant, version int64) (rotated bool) {
	rotated = !grant.Value.Equal(s.value)
	if rotated {
		s.retire()
	}
	if rotated || s.remint {
		s.version = version
		s.note(all)
	}
	if s.refused || s.undated || s.waits {
		s.note(all)
	}
	s.note(itsMoments)
	s.value, s.fetched, s.lifetime = grant.Value, start, grant.Lifetime
	s.refused, s.undated, s.remint, s.unanswered, s.trouble = false, false, false, credential.Instant{}, trouble{}
	return rotated
}

// missed notes that a call that began then may have been done without our
// learning of it.
func (s *slot) missed(start credential.Instant) {
	if s.unanswered.IsZero() || start.Sub(s.unanswered) < 0 {
		s.unanswered = start
	}
}

// betweenChecks is the shortest time between two questions to WeChat whether a
// value is still good, and so between two rotations for its being refused.
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

// diedWindow is how long early ends are remembered.
const diedWindow = 24 * time.Hour

// die notes that the value ended before its time, and returns how many did in
// the last day.
func (s *slot) die(now time.Time) int {
	s.died = append(diedSince(s.died, now.Add(-diedWindow)), now)
	s.note(all)
	return len(s.died)
}

// diedSince returns the early ends after that moment.
func diedSince(died []time.Time, after time.Time) []time.Time {
	var recent []time.Time
	for _, t := range died {
		if t.After(after) {
			recent = append(recent, t)
		}
	}
	return recent
}

// claim notes that an edge holds that version, and reports whether it is news: a
// newer one than ours proves that the database is an old copy. The value is then
// minted anew, above that version. classic tells a classic token apart.
func (s *slot) claim(version int64, classic bool) bool {
	if version <= max(s.version, s.claimed) {
		return false
	}
	s.claimed = version
	if !s.held() {
		return false // the first value will be minted above it
	}
	s.remint = true
	// Whatever is claimed, no more than one call a minute; and a classic token
	// not twice within its overlap, which would end the one before.
	soonest := s.fetched.Add(time.Minute)
	if classic {
		soonest = s.fetched.Add(overlap)
	}
	if s.due.Sub(soonest) > 0 {
		s.due = soonest
	}
	return true
}
