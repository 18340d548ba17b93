package keeper

import (
	"context"
	"encoding/json"
	"maps"
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/wechat"
)

// retrySave is how soon a failed write to the store is tried again.
const retrySave = 10 * time.Second

// save stores everything that has changed. When storing fails, the values are
// served all the same, and the keeper tries again when it next wakes.
func (k *Keeper) save(ctx context.Context) {
	var slots []*slot
	for _, s := range k.slots() {
		if s.changed != nothing {
			slots = append(slots, s)
		}
	}
	var apis []wechat.API
	for api, s := range k.budget.spent {
		if s.unsaved() {
			apis = append(apis, api)
		}
	}
	_ = k.put(ctx, slots, apis) // put has logged the error, and save runs again
}

// isUnsaved reports whether the store lacks anything.
func (k *Keeper) isUnsaved() bool {
	for _, s := range k.slots() {
		if s.changed != nothing {
			return true
		}
	}
	for _, s := range k.budget.spent {
		if s.unsaved() {
			return true
		}
	}
	return false
}

// put stores slots and counts, all of them or none.
func (k *Keeper) put(ctx context.Context, slots []*slot, apis []wechat.API) error {
	values := map[string][]byte{}
	for _, s := range slots {
		encoded, err := s.encode()
		if err != nil {
			return k.noteUnsaved(ctx, slots, apis, err)
		}
		maps.Copy(values, encoded)
	}
	for _, api := range apis {
		raw, err := json.Marshal(k.budget.spent[api].record())
		if err != nil {
			return k.noteUnsaved(ctx, slots, apis, err)
		}
		values[budgetKey(api)] = raw
	}
	if len(values) == 0 {
		return nil
	}
	if err := k.Store.Put(ctx, k.Account.AppID, values); err != nil {
		return k.noteUnsaved(ctx, slots, apis, err)
	}
	k.noteSaved(ctx, slots, apis)
	return nil
}

// noteUnsaved notes that slots and counts could not be stored, and returns err.
func (k *Keeper) noteUnsaved(ctx context.Context, slots []*slot, apis []wechat.API, err error) error {
	for _, s := range slots {
		if s.unsavedVersion != s.version || !s.saveFailed {
			k.Log.ErrorContext(ctx, "cannot persist, serving it from memory: a restart now would lose it",
				"kind", s.kind, "version", s.version, "error", err, "retry_in", retrySave)
		}
		s.saveFailed, s.unsavedVersion = true, s.version
	}
	for _, api := range apis {
		s := k.budget.spent[api]
		if s.countsUnsaved && !s.uncounted {
			k.Log.ErrorContext(ctx, "cannot count calls in the database, counting in memory: a restart now would forget it", "api", api, "error", err)
			s.uncounted = true
		}
	}
	k.show()
	return err
}

// noteSaved notes that slots and counts were stored.
func (k *Keeper) noteSaved(ctx context.Context, slots []*slot, apis []wechat.API) {
	again := false
	for _, s := range slots {
		if s.saveFailed {
			k.Log.InfoContext(ctx, "persisted at last", "kind", s.kind, "version", s.version)
			again = true
		}
		if s.changed == all {
			s.storedWait = s.trouble.lasts()
		}
		s.changed, s.saveFailed = nothing, false
	}
	for _, api := range apis {
		s := k.budget.spent[api]
		if s.uncounted {
			k.Log.InfoContext(ctx, "calls are counted in the database again", "api", api)
			again = true
		}
		k.budget.wrote = k.budget.wrote || s.countsUnsaved
		s.countsUnsaved, s.closingsUnsaved, s.uncounted = false, false, false
	}
	if again {
		k.show()
	}
}

// load restores what the store has, so that a restart costs no call. The keeper
// fetches again what load cannot read. lost says that today's counts are lost.
func (k *Keeper) load(stored map[string][]byte, lost bool) {
	now := k.Clock.Now()
	for api := range k.budget.limits {
		raw, ok := stored[budgetKey(api)]
		if ok && k.budget.spent[api].restore(raw, now) {
			continue
		}
		if (ok || lost) && api != wechat.ClearQuotaAPI {
			k.budget.halve(api, now)
		}
	}
	latest := k.budget.latest()
	for _, s := range k.slots() {
		k.loadSlot(s, stored)
		if fetched := s.fetched.Wall(); s.held() && fetched.After(latest) {
			latest = fetched
		}
	}
	k.undate(latest)
}

// loadSlot restores what the store has of one kind.
func (k *Keeper) loadSlot(s *slot, stored map[string][]byte) {
	r, err := decode(stored, s.kind)
	if err != nil {
		k.Log.Error("cannot read a stored credential, fetching a new one", "kind", s.kind, "error", err)
	}
	now := k.Clock.Now()
	if r != nil {
		s.restore(r, now)
		k.Log.Info("restored", "kind", s.kind, "version", s.version,
			"expires_in", s.expiry.Sub(now).Round(time.Second), "next_call_in", s.due.Sub(now).Round(time.Second))
	}
	for api, open := range k.budget.openIntents(s.kind) {
		s.noteUnanswered(now.Add(min(0, open.Start.Sub(now.Wall()))))
		k.Log.Warn("a call was under way when the broker ended: WeChat may have answered it", "kind", s.kind, "api", api, "started", open.Start)
		if api == wechat.TokenAPI { // the call may have replaced the token, and ours then ends within five minutes
			s.due = now
		}
	}
}

// setBack is how far the wall clock may be behind the latest stored moment before
// it counts as set back.
const setBack = 5 * time.Second

// undate marks every restored value as undated when the latest stored moment is
// still in the future. Then the wall clock was set back while no broker ran, and
// nobody knows how old the values are until WeChat is asked. Edges keep theirs, by
// clocks of their own.
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
			s.note(all) // or a later start would believe a clock that has caught up
		}
	}
}

// takeOver waits for the end of the keeper whose place this one takes, and takes
// all that it held.
func (k *Keeper) takeOver() {
	before := k.After
	if before == nil {
		return
	}
	<-before.stopped
	k.After = nil // or the memory of the other keeper would never be freed
	maps.Copy(k.budget.spent, before.budget.spent)
	k.budget.wrote = before.budget.wrote
	k.budget.started = before.budget.started
	for _, s := range k.slots() {
		if live := before.slot(s.kind); live != nil {
			*s = *live
		} else {
			k.loadSlot(s, k.stored)
		}
	}
	k.stored = nil
	k.inbox.inherit(before.inbox)
	k.publish()
	k.Log.Info("a keeper with another configuration has taken over", "version", k.token.version)
}
