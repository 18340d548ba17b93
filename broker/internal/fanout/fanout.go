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
	accounts map[string]published
	changed  chan struct{} // closed by the next Publish; nil until somebody waits
}

type published struct {
	account  credential.Account
	revision uint64
}

// State is a number of accounts, in order of appid.
type State struct {
	// Revision is that of the account that changed last, 0 without accounts.
	// It rises with each publication of this process.
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
	if f.changed != nil {
		close(f.changed)
		f.changed = nil
	}
}

// Current returns the newest state of the accounts that wanted names (of all
// when it names none), and a channel that is closed when there is a newer one
// of any account.
func (f *Fanout) Current(wanted []string) (State, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var state State
	for appid, p := range f.accounts {
		if len(wanted) == 0 || slices.Contains(wanted, appid) {
			state.Accounts = append(state.Accounts, p.account)
			state.Revision = max(state.Revision, p.revision)
		}
	}
	slices.SortFunc(state.Accounts, func(a, b credential.Account) int { return strings.Compare(a.AppID, b.AppID) })
	if f.changed == nil {
		f.changed = make(chan struct{})
	}
	return state, f.changed
}
