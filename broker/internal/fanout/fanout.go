// Package fanout hands the newest state of every account to whoever watches.
// It keeps no queue: a slow reader sees the newest state next, never the states in
// between.
package fanout

import (
	"slices"
	"strings"
	"sync"

	"github.com/wxbroker/wxbroker/pkg/credential"
)

// Fanout holds the newest state. The zero value is empty and ready for use by
// any number of goroutines.
type Fanout struct {
	mu       sync.Mutex
	revision uint64
	least    uint64 // the lowest revision that a State may have: when all readers last had to look again
	accounts map[string]entry
	changed  chan struct{} // closed by the next change; nil until somebody waits
}

// entry is the newest state of one account.
type entry struct {
	account  credential.Account
	revision uint64 // when it was published
}

// State is a number of accounts, in order of appid.
type State struct {
	// Revision is that of the account that changed last. It rises with each
	// change that concerns the state's reader.
	Revision uint64
	Accounts []credential.Account
}

// Publish makes a the newest state of its account and wakes whoever waits. Its cost
// does not depend on how many wait.
func (f *Fanout) Publish(a credential.Account) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.accounts == nil {
		f.accounts = make(map[string]entry)
	}
	f.revision++
	f.accounts[a.AppID] = entry{a, f.revision}
	f.wake()
}

// Remove forgets the account, if there is one, and wakes whoever waits.
func (f *Fanout) Remove(appid string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.accounts, appid)
	f.renew()
}

// Has reports whether the account has been published, and not removed.
func (f *Fanout) Has(appid string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, ok := f.accounts[appid]
	return ok
}

// Account returns the newest state of one account, and false if there is none.
func (f *Fanout) Account(appid string) (credential.Account, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p, ok := f.accounts[appid]
	return p.account, ok
}

// Renew gives every state a new revision and wakes whoever waits. It is for a change
// of what readers may see.
func (f *Fanout) Renew() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.renew()
}

func (f *Fanout) renew() {
	f.revision++
	f.least = f.revision
	f.wake()
}

func (f *Fanout) wake() {
	if f.changed != nil {
		close(f.changed)
		f.changed = nil
	}
}

// Changed returns a channel that is closed with the next change of any account. A
// reader that calls Changed before Current misses no change.
func (f *Fanout) Changed() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.changed == nil {
		f.changed = make(chan struct{})
	}
	return f.changed
}

// Current returns the newest state of the accounts that wanted names. When it names
// none, Current returns the state of all.
func (f *Fanout) Current(wanted []string) State {
	f.mu.Lock()
	defer f.mu.Unlock()
	state := State{Revision: f.least}
	for appid, p := range f.accounts {
		if len(wanted) == 0 || slices.Contains(wanted, appid) {
			state.Accounts = append(state.Accounts, p.account)
			state.Revision = max(state.Revision, p.revision)
		}
	}
	slices.SortFunc(state.Accounts, func(a, b credential.Account) int { return strings.Compare(a.AppID, b.AppID) })
	return state
}
