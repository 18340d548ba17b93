package app

import (
	"context"
	"crypto/sha256"
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/wxbroker/wxbroker/broker/internal/config"
	"github.com/wxbroker/wxbroker/broker/internal/keeper"
	"github.com/wxbroker/wxbroker/broker/internal/rpc"
	"github.com/wxbroker/wxbroker/pkg/credential"
)

// accounts are the keepers of the configured accounts. The configuration may
// change while they run.
type accounts struct {
	// newKeeper returns an account's keeper, publish takes what it publishes,
	// and forget ends that.
	newKeeper func(a config.Account, publish func(credential.Account)) *keeper.Keeper
	publish   func(credential.Account)
	forget    func(appid string)

	mu    sync.Mutex
	kept  map[string]*kept // by appid
	start func(*kept)      // lets a keeper work, nil until run
	all   sync.WaitGroup   // of the keepers that work
}

// kept is one account with its keeper.
type kept struct {
	config.Account
	keeper *keeper.Keeper
	stop   context.CancelFunc
	done   chan struct{}

	mu   sync.Mutex
	gone bool // from the configuration: what its keeper still publishes is nobody's
}

// list returns the keepers in order of appid.
func (a *accounts) list() []*keeper.Keeper {
	a.mu.Lock()
	defer a.mu.Unlock()
	var keepers []*keeper.Keeper
	for _, appid := range slices.Sorted(maps.Keys(a.kept)) {
		keepers = append(keepers, a.kept[appid].keeper)
	}
	return keepers
}

// keeper returns the keeper of an account, nil if it is not configured.
func (a *accounts) keeper(appid string) *keeper.Keeper {
	a.mu.Lock()
	defer a.mu.Unlock()
	if k, ok := a.kept[appid]; ok {
		return k.keeper
	}
	return nil
}

// apply makes the configured accounts those that are kept. An account that is
// configured otherwise gets a new keeper, which takes up what the last one left
// in the store; until then edges go on with what they hold.
func (a *accounts) apply(configured []config.Account) {
	wanted := make(map[string]config.Account)
	for _, account := range configured {
		wanted[account.AppID] = account
	}
	var leaving []*kept
	for _, old := range a.snapshot() {
		account, stays := wanted[old.AppID]
		if stays && account.Same(old.Account) {
			continue
		}
		old.stop()
		leaving = append(leaving, old)
		if !stays {
			old.mu.Lock()
			old.gone = true
			old.mu.Unlock()
			a.forget(old.AppID)
		}
	}
	a.addMissing(configured) // those that are new need not wait for any that leaves
	for _, old := range leaving {
		<-old.done // a call to WeChat may be under way
		a.mu.Lock()
		delete(a.kept, old.AppID)
		a.mu.Unlock()
	}
	a.addMissing(configured)
}

func (a *accounts) addMissing(configured []config.Account) {
	for _, account := range configured {
		if a.keeper(account.AppID) == nil {
			a.add(account)
		}
	}
}

func (a *accounts) snapshot() map[string]*kept {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.kept)
}

func (a *accounts) add(account config.Account) {
	k := &kept{Account: account, done: make(chan struct{})}
	k.keeper = a.newKeeper(account, func(state credential.Account) {
		k.mu.Lock()
		defer k.mu.Unlock()
		if !k.gone {
			a.publish(state)
		}
	})
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.kept == nil {
		a.kept = make(map[string]*kept)
	}
	a.kept[account.AppID] = k
	if a.start != nil {
		a.start(k)
	}
}

// run lets the keepers work until ctx ends, also those that come later. wait
// returns when they have ended.
func (a *accounts) run(ctx context.Context) (wait func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.start = func(k *kept) {
		var working context.Context
		working, k.stop = context.WithCancel(ctx)
		a.all.Go(func() {
			defer close(k.done)
			k.keeper.Run(working)
		})
	}
	for _, k := range a.kept {
		a.start(k)
	}
	return a.all.Wait
}

// claim passes on what an edge holds.
func (a *accounts) claim(appid string, kind credential.Kind, version int64) {
	if k := a.keeper(appid); k != nil {
		k.Claim(kind, version)
	}
}

// report passes on that WeChat is said to refuse a value.
func (a *accounts) report(ctx context.Context, appid string, kind credential.Kind, hash [sha256.Size]byte) (v rpc.Versions, known bool, err error) {
	k := a.keeper(appid)
	if k == nil {
		return rpc.Versions{}, false, nil
	}
	versions, err := k.Report(ctx, kind, hash)
	if errors.Is(err, keeper.ErrUnknownValue) {
		return rpc.Versions{}, false, nil
	}
	return rpc.Versions(versions), true, err
}
