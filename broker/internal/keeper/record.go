package keeper

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
)

// The store has these values of an account, by key. Times are the wall clock's.
//
//	KIND          record: the value and all that is known of it
//	KIND/moments  moments: the part of the record that changes with every reading
//	budget/API    counts: the calls of an API, and its open intents
//
// A ticket is read again every few minutes and its record has several KiB. So a
// reading that brings the same value writes only the moments. They are written
// with every record too, and they win over the record. The times in the two cannot
// show which is later, since the clock may have been stepped between them.

func momentsKey(kind credential.Kind) string { return string(kind) + "/moments" }

func budgetKey(api wechat.API) string { return "budget/" + string(api) }

// record is a slot as the store has it.
type record struct {
	Value    string        `json:"value"`
	Version  int64         `json:"version"`
	Fetched  time.Time     `json:"fetched"`
	Lifetime time.Duration `json:"lifetime"` // nanoseconds
	Expiry   time.Time     `json:"expiry"`
	Due      time.Time     `json:"due"`
	// Seen is, for a ticket, every value that is still remembered, by hash.
	Seen    sightings `json:"seen,omitempty"`
	Refused bool      `json:"refused,omitempty"` // WeChat said that value is no good
	Undated bool      `json:"undated,omitempty"` // the times above are not to be trusted
	// Past are the values before this one, by hash.
	Past []issue `json:"past,omitempty"`
	// Wait is a back-off that WeChat asked for, nil for none.
	Wait *wait `json:"wait,omitempty"`
	// EarlyEnds are the moments of the last day at which values ended before their time.
	EarlyEnds []time.Time `json:"died,omitempty"`
}

// wait is a back-off that a restart must not end, because WeChat said how long
// it is.
type wait struct {
	Error wechat.Error `json:"error"`
	Since time.Time    `json:"since"`
	Count int          `json:"count"`
	Until time.Time    `json:"until"`
}

// longestWait is the longest back-off that WeChat asks for.
const longestWait = 24 * time.Hour

// moments are when a value was last read, and the times that follow from it.
type moments struct {
	Version int64     `json:"version"` // of the value
	Fetched time.Time `json:"fetched"`
	// All durations are in milliseconds and count from Fetched.
	Lifetime int64 `json:"lifetime"`
	Expiry   int64 `json:"expiry"`
	Due      int64 `json:"due"`
	// Expected and Late are those of the value's sighting, for a ticket.
	Expected int64 `json:"expected,omitempty"`
	Late     int   `json:"late,omitempty"`
}

// counts are a spending as the store has it.
type counts struct {
	Counts map[string]int `json:"counts,omitempty"` // by period
	Last   time.Time      `json:"last,omitzero"`
	// Open are the intents without a stored answer, by kind.
	Open map[credential.Kind]intent `json:"open,omitempty"`
	// Periods are what brokers before this one wrote instead of Counts.
	Periods []struct {
		Name  string `json:"name"`
		Count int    `json:"count"`
	} `json:"periods,omitempty"`
}

func (s *slot) record() record {
	r := record{
		Value: s.value.Reveal(), Version: s.version, Fetched: s.fetched.Wall(),
		Lifetime: s.lifetime, Expiry: s.expiry.Wall(), Due: s.due.Wall(),
		Seen: s.seen, Refused: s.refused, Undated: s.undated, Past: s.past, EarlyEnds: s.earlyEnds,
	}
	if t := s.trouble; t.lasts() {
		r.Wait = &wait{*t.last, t.since, t.count, t.retry.Wall()}
	}
	return r
}

func (s *slot) moments() moments {
	fetched := s.fetched.Wall()
	after := func(t time.Time) int64 { return t.Sub(fetched).Milliseconds() }
	m := moments{
		Version: s.version, Fetched: fetched.Truncate(time.Millisecond), Lifetime: s.lifetime.Milliseconds(),
		Expiry: after(s.expiry.Wall()), Due: after(s.due.Wall()),
	}
	if seen, ok := s.seen[hash(s.value)]; ok {
		m.Expected, m.Late = after(seen.Expected), seen.Late
	}
	return m
}

func (s *spending) record() counts {
	return counts{Counts: s.counts, Last: s.last.Truncate(time.Millisecond), Open: s.open}
}

// encode returns the parts of a slot that the store lacks, by key.
func (s *slot) encode() (map[string][]byte, error) {
	encoded := map[string][]byte{}
	parts := map[string]any{momentsKey(s.kind): s.moments()}
	if s.changed == all {
		parts[string(s.kind)] = s.record()
	}
	for key, part := range parts {
		raw, err := json.Marshal(part)
		if err != nil {
			return nil, fmt.Errorf("encoding the %s: %T", s.kind, err) // its text may quote a secret
		}
		encoded[key] = raw
	}
	return encoded, nil
}

// decode returns what the store has of a kind, nil where it has nothing.
func decode(stored map[string][]byte, kind credential.Kind) (*record, error) {
	raw, ok := stored[string(kind)]
	if !ok {
		return nil, nil
	}
	r := new(record)
	if err := json.Unmarshal(raw, r); err != nil {
		return nil, fmt.Errorf("decoding the record: %T", err) // its text may quote a secret
	}
	var m moments
	if raw, ok = stored[momentsKey(kind)]; ok && json.Unmarshal(raw, &m) == nil && m.Version == r.Version {
		r.read(m)
	}
	return r, nil
}

// read updates a record with a later reading of the same value.
func (r *record) read(m moments) {
	after := func(ms int64) time.Time { return m.Fetched.Add(time.Duration(ms) * time.Millisecond) }
	r.Fetched, r.Lifetime = m.Fetched, time.Duration(m.Lifetime)*time.Millisecond
	r.Expiry, r.Due = after(m.Expiry), after(m.Due)
	hashed := hash(credential.NewSecret(r.Value))
	if seen, ok := r.Seen[hashed]; ok {
		seen.Expected, seen.Late = after(m.Expected), m.Late
		r.Seen[hashed] = seen
	}
}

// restore fills a slot with what the store has, when the keeper starts at now.
func (s *slot) restore(r *record, now credential.Instant) {
	since := func(t time.Time) time.Duration { return t.Sub(now.Wall()) }
	s.value, s.version = credential.NewSecret(r.Value), r.Version
	s.fetched, s.lifetime = now.Add(since(r.Fetched)), r.Lifetime
	// A wall clock that was set back must not make the value live longer than
	// WeChat said.
	s.expiry = now.Add(min(since(r.Expiry), r.Lifetime))
	s.due = now.Add(min(since(r.Due), r.Lifetime))
	if r.Seen != nil {
		s.seen = r.Seen
	}
	s.refused, s.past, s.earlyEnds = r.Refused, r.Past, r.EarlyEnds
	if r.Undated {
		s.undated, s.due = true, now
	}
	s.storedWait = r.Wait != nil
	if w := r.Wait; w != nil && since(w.Until) > 0 {
		s.trouble = trouble{last: &w.Error, since: w.Since, count: w.Count, run: 1, retry: now.Add(min(since(w.Until), longestWait))}
	}
}

// restore fills a spending with what the store has of an API's calls, when the
// keeper starts at now. It reports whether raw could be read.
func (s *spending) restore(raw []byte, now credential.Instant) bool {
	var c counts
	if json.Unmarshal(raw, &c) != nil {
		return false
	}
	*s = spending{counts: c.Counts, last: c.Last, open: c.Open}
	for _, p := range c.Periods {
		s.set(p.Name, p.Count)
	}
	s.countsUnsaved = false
	if !c.Last.IsZero() {
		// The last call cannot lie in the future, or a wall clock that was set back
		// would hold calls back for longer.
		s.at = now.Add(min(0, c.Last.Sub(now.Wall())))
	}
	return true
}
