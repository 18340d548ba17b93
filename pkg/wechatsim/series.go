package wechatsim

import (
	"slices"
	"time"
)

// kept is how many values a series remembers. Dead values are remembered too, to tell
// an expired value from one that never existed.
const kept = 200

// issuedValue is one value that was handed out.
type issuedValue struct {
	value   string
	number  int
	minted  time.Time
	expires time.Time // its own expiry, which never moves
	ends    time.Time // when it stops being accepted: expires, or sooner
	killed  bool      // ended by being refused, not by being replaced
	stuck   bool      // refused, yet still handed out
}

func (v *issuedValue) alive(now time.Time) bool { return now.Before(v.ends) }

func (v *issuedValue) expired(now time.Time) bool { return !now.Before(v.expires) }

// end makes the value refused from at on, unless it is refused sooner anyway.
func (v *issuedValue) end(at time.Time) {
	if at.Before(v.ends) {
		v.ends = at
	}
}

// series is all values of one kind for one account, oldest first.
type series struct {
	name   string
	values []*issuedValue
	minted int
}

// current is the newest value, dead or alive; nil before the first one.
func (s *series) current() *issuedValue {
	if len(s.values) == 0 {
		return nil
	}
	return s.values[len(s.values)-1]
}

// find returns the record of a value, nil if the series never had it or has
// forgotten it.
func (s *series) find(value string) *issuedValue {
	for _, v := range s.values {
		if v.value == value {
			return v
		}
	}
	return nil
}

// mint appends a new value. It returns that and the values that are forgotten for it. A
// live value is never forgotten, however many there are.
func (s *series) mint(value string, now time.Time, lifetime time.Duration) (fresh *issuedValue, forgotten []*issuedValue) {
	s.minted++
	fresh = &issuedValue{
		value:   value,
		number:  s.minted,
		minted:  now,
		expires: now.Add(lifetime),
		ends:    now.Add(lifetime),
	}
	s.values = append(s.values, fresh)
	for len(s.values) > kept && !s.values[0].alive(now) {
		forgotten = append(forgotten, s.values[0])
		s.values = slices.Delete(s.values, 0, 1)
	}
	return fresh, forgotten
}

// sticky returns the current value if WeChat would hand it out again. That is so if it
// has more than window left and is not refused, or if it is stuck.
func (s *series) sticky(now time.Time, window time.Duration) *issuedValue {
	v := s.current()
	if v == nil || v.expires.Sub(now) <= window {
		return nil
	}
	if !v.alive(now) && !v.stuck {
		return nil
	}
	return v
}
