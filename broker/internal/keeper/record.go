package keeper

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
)

// record is a slot as the store has it, with the wall clock's times.
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
	// Wait is one that WeChat asked for.
	Wait *wait `json:"wait,omitempty"`
	// Died are when values ended before their time, in the last day.
	Died []time.Time `json:"died,omitempty"`
}

// wait is a back-off that a restart must not end, because WeChat said how long
// it is: the others end with a restart, as whoever mended their cause expects.
type wait struct {
	Error wechat.Error `json:"error"`
	Since time.Time    `json:"since"`
	Count int          `json:"count"`
	Until time.Time    `json:"until"`
}

// longestWait is the longest that WeChat asks for.
const longestWait = 24 * time.Hour

// lasting returns the wait of s that is to be kept, nil for none.
func (s *slot) lasting() *wait {
	if t := s.trouble; t.is(wechat.Approval) || t.is(wechat.Quota) {
		return &wait{*t.last, t.since, t.count, t.retry.Wall()}
	}
	return nil
}

// save writes s to the store. When that fails the value is served all the
// same and the next wake tries again.
func (k *Keeper) save(s *slot) {
	r := record{
		Value: s.value.Reveal(), Version: s.version, Fetched: s.fetched.Wall(),
		Lifetime: s.lifetime, Expiry: s.expiry.Wall(), Due: s.due.Wall(),
		Seen: s.seen, Refused: s.refused, Undated: s.undated, Past: s.past, Died: s.died, Wait: s.lasting(),
	}
	raw, err := json.Marshal(r)
	if err == nil {
		err = k.Store.Put(k.Account.AppID, string(s.kind), raw)
	}
	if err != nil {
		k.Log.Error("cannot persist, serving it from memory: a restart now would lose it",
			"kind", s.kind, "version", s.version, "error", err, "retry_in", retrySave)
	} else if s.unsaved {
		k.Log.Info("persisted at last", "kind", s.kind, "version", s.version)
	}
	if s.unsaved != (err != nil) {
		s.unsaved = err != nil
		k.show()
	}
}

// load takes what the store has, so that a restart costs no call. What it
// cannot read it fetches again.
func (k *Keeper) load(stored map[string][]byte) {
	latest := k.budget.latest()
	defer func() { k.undate(latest) }()
	for _, s := range k.slots() {
		raw, ok := stored[string(s.kind)]
		if !ok {
			continue
		}
		if err := k.restore(s, raw); err != nil {
			k.Log.Error("cannot read a stored credential, fetching a new one", "kind", s.kind, "error", err)
			continue
		}
		if fetched := s.fetched.Wall(); fetched.After(latest) {
			latest = fetched
		}
	}
}

// setBack is how far behind what was written the wall clock may be before it
// counts as set back.
const setBack = 5 * time.Second

// undate takes no restored value for live when the latest moment that was
// written is yet to come: the wall clock was set back while no broker ran, and
// nobody knows how old the values are until WeChat is asked. Edges keep theirs,
// by clocks of their own.
func (k *Keeper) undate(latest time.Time) {
	now := k.Clock.Now()
	if latest.Sub(now.Wall()) <= setBack {
		return
	}
	k.Log.Warn("the wall clock was set back since the database was written, asking WeChat about every value",
		"written", latest, "clock", now.Wall())
	k.budget.setBack(now.Wall()) // or every start would find them in the future
	for _, s := range k.slots() {
		if s.held() {
			s.undated, s.due = true, now
			k.save(s) // or a later start would believe a clock that has caught up
		}
	}
}

func (k *Keeper) restore(s *slot, raw []byte) error {
	var r record
	if err := json.Unmarshal(raw, &r); err != nil {
		return fmt.Errorf("decoding the record: %T", err) // its text may quote a secret
	}
	now := k.Clock.Now()
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
	s.refused, s.past, s.died = r.Refused, r.Past, r.Died
	if r.Undated {
		s.undated, s.due = true, now
	}
	if w := r.Wait; w != nil && since(w.Until) > 0 {
		s.trouble = trouble{last: &w.Error, since: w.Since, count: w.Count, run: 1, retry: now.Add(min(since(w.Until), longestWait))}
	}
	k.Log.Info("restored", "kind", s.kind, "version", s.version,
		"expires_in", s.expiry.Sub(now).Round(time.Second), "next_call_in", s.due.Sub(now).Round(time.Second))
	return nil
}
