package keeper

import (
	"maps"
)

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
