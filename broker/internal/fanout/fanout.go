// Package fanout hands the newest state of every account to whoever watches.
// It keeps no queue: a reader that is slow sees the newest state next, never
// the ones in between.
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
	least    uint64 // of any state: the revision at which all readers had to look again
	accounts map[string]published
	changed  chan struct{} // closed by the next change; nil until somebody waits
}

type published struct {
	account  credential.Account
	revision uint64
}

// State is a number of accounts, in order of appid.
type State struct {
	// Revision is that of the account that changed last. It rises with each
	// change that concerns the state's reader.
	Revision uint64
	Accounts []credential.Account
}

// Publish makes a the newest state of its account and wakes whoever waits. It
// costs the same however many they are.
func (f *Fanout) Publish(a credential.Account) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.accounts == nil {
		f.accounts = make(map[string]published)
	}
	f.revision++
	f.accounts[a.AppID] = published{a, f.revision}
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

// Account returns the newest state of one account; without one it is false.
func (f *Fanout) Account(appid string) (credential.Account, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p, ok := f.accounts[appid]
	return p.account, ok
}

// Renew gives every state a new revision and wakes whoever waits: what a
// reader may see of it has changed.
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

// Changed returns a channel that is closed with the next change of any
// account. Whoever asks for it before Current misses none.
func (f *Fanout) Changed() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.changed == nil {
		f.changed = make(chan struct{})
	}
	return f.changed
}

// Current returns the newest state of the accounts that wanted names, of all
// when it names none.
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
