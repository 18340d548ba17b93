package keeper

import (
	"math/rand/v2"
	"time"

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
	// unanswered is set while a call since the last good one may have been
	// done without our learning of it: it may have replaced the value.
	unanswered bool
	unsaved    bool // the store does not have this yet
}

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

// lastGasp is the end of a value's life in which to renew it is recovery.
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

// jitter returns up to a tenth of d, so that accounts that started together do
// not stay together.
func jitter(d time.Duration) time.Duration {
	return time.Duration(rand.Int64N(int64(d/10) + 1)) //nolint:gosec // spreads load, guards nothing
}
