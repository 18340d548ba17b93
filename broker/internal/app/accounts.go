package app

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/config"
	"github.com/wxbroker/wxbroker/broker/internal/keeper"
	"github.com/wxbroker/wxbroker/pkg/credential"
)

// accounts are the configured accounts, each with its keeper and its policy. The
// configuration may change while the keepers run. Whoever changes it does not wait
// for a keeper.
type accounts struct {
	// newKeeper returns a keeper for an account. It takes the place of after, unless
	// that is nil.
	newKeeper func(a config.Account, after *keeper.Keeper, publish func(credential.Account)) *keeper.Keeper
	// publish is called with each state that a keeper published, with the account's
	// policy beside it. forget takes an account back.
	publish func(credential.Account)
	forget  func(appid string)
	log     *slog.Logger

	mu     sync.Mutex
	kept   map[string]*keptAccount   // by appid
	ending map[string]*keeper.Keeper // of accounts that are not configured any more
	// work runs f until stop is called; nil until run.
	work func(f func(context.Context)) (stop context.CancelFunc)
	all  sync.WaitGroup // of everything that work runs
}

// keptAccount is one account. It outlives its keepers.
type keptAccount struct {
	config.Account
	keeper   *keeper.Keeper
	stop     context.CancelFunc // ends the keeper; nil until the keeper runs
	unfollow context.CancelFunc // stops following the AppSecret's file; nil while it is not followed

	mu        sync.Mutex
	published credential.Account       // by the keeper
	policy    credential.HostRules     // of the account
	publish   func(credential.Account) // nil once the account is not configured any more
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

// apply makes the configured accounts those that are kept. It may be called once
// before run, and then only while keepers run. A change of policy goes past the
// keeper. An account that is to be kept in another way gets a new keeper, which
// takes over what the old one holds. Until then edges use what the old one
// published.
func (a *accounts) apply(configured []config.Account) {
	before := a.snapshot()
	leaving := maps.Clone(before)
	for _, account := range configured {
		delete(leaving, account.AppID)
	}
	for _, k := range leaving {
		a.remove(k)
	}
	for _, account := range configured {
		if k, ok := before[account.AppID]; ok {
			k.govern(account.SignHosts)
			a.reconfigure(k, account)
		} else {
			a.add(account)
		}
	}
}

func (a *accounts) snapshot() map[string]*keptAccount {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.kept)
}

// add begins to keep an account.
func (a *accounts) add(account config.Account) {
	a.mu.Lock()
	before := a.ending[account.AppID]
	a.mu.Unlock()
	k := &keptAccount{Account: account, policy: account.SignHosts, publish: a.publish}
	k.keeper = a.newKeeper(account, before, k.take)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.kept == nil {
		a.kept = make(map[string]*keptAccount)
	}
	a.kept[account.AppID] = k
	if a.work != nil {
		a.start(k)
		a.follow(k)
	}
}

// reconfigure keeps an account as it is configured now.
func (a *accounts) reconfigure(k *keptAccount, account config.Account) {
	same := account.SameSecret(k.Account)
	if same { // the keeper's counts: its file may have been written again just now
		account.Secret = k.keeper.Secret()
	}
	if !account.KeptLike(k.Account) {
		after := a.newKeeper(account, k.keeper, k.take)
		a.mu.Lock()
		k.stop()
		k.keeper = after
		a.start(k)
		a.mu.Unlock()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	k.Account = account
	if !same {
		k.keeper.UseSecret(account.Secret)
		a.follow(k)
	}
}

// remove stops keeping an account. What its keeper may still publish goes to nobody.
func (a *accounts) remove(k *keptAccount) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.kept, k.AppID)
	k.mu.Lock()
	k.publish = nil
	k.mu.Unlock()
	a.forget(k.AppID)
	if a.ending == nil {
		a.ending = make(map[string]*keeper.Keeper)
	}
	a.ending[k.AppID] = k.keeper // a call to WeChat may be under way
	k.stop()
	if k.unfollow != nil {
		k.unfollow()
	}
}

// start runs an account's keeper. a.mu is held.
func (a *accounts) start(k *keptAccount) {
	working, appid := k.keeper, k.AppID
	k.stop = a.work(func(ctx context.Context) {
		working.Run(ctx)
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.ending[appid] == working {
			delete(a.ending, appid)
		}
	})
}

// follow hands an account's keeper the AppSecret each time that its file changes.
// a.mu is held.
func (a *accounts) follow(k *keptAccount) {
	if k.unfollow != nil {
		k.unfollow()
		k.unfollow = nil
	}
	if k.FollowSecret == nil {
		return
	}
	follow, log := k.FollowSecret, a.log.With("appid", k.AppID)
	k.unfollow = a.work(func(ctx context.Context) {
		follow(ctx, log, func(secret credential.Secret) {
			a.mu.Lock()
			defer a.mu.Unlock()
			k.keeper.UseSecret(secret)
		})
	})
}

// run runs the keepers until ctx ends, also those that are added later. wait returns
// when all have ended.
func (a *accounts) run(ctx context.Context) (wait func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.work = func(f func(context.Context)) context.CancelFunc {
		working, stop := context.WithCancel(ctx)
		a.all.Go(func() { f(working) })
		return stop
	}
	for _, k := range a.kept {
		a.start(k)
		a.follow(k)
	}
	return a.all.Wait
}

// take hands on a state that the keeper published.
func (k *keptAccount) take(state credential.Account) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.published = state
	k.handOn()
}

// govern makes rules the account's policy.
func (k *keptAccount) govern(rules credential.HostRules) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !slices.Equal(rules.Strings(), k.policy.Strings()) {
		k.policy = rules
		k.handOn()
	}
}

// handOn hands on the state that the keeper published last, with the policy beside
// it. k.mu is held.
func (k *keptAccount) handOn() {
	if k.publish != nil {
		state := k.published
		state.SignHosts = k.policy
		k.publish(state)
	}
}

// stuckAfter is how long a keeper may take for one turn. It begins a turn once a
// minute at least, and a turn can make several calls to WeChat.
const stuckAfter = 3 * time.Minute

// healthy says which keepers are stuck, nil for none.
func (a *accounts) healthy() error {
	var stuck []error
	for _, k := range a.list() {
		if still := time.Since(k.Turned()); still > stuckAfter {
			stuck = append(stuck, fmt.Errorf("the keeper of %s has not turned for %v", k.Status().AppID, still.Round(time.Second)))
		}
	}
	return errors.Join(stuck...)
}

// claim tells a keeper which version an edge holds.
func (a *accounts) claim(appid string, kind credential.Kind, version int64) {
	if k := a.keeper(appid); k != nil {
		k.Claim(kind, version)
	}
}

// report tells a keeper that somebody says that WeChat refuses a value.
func (a *accounts) report(ctx context.Context, appid string, kind credential.Kind, hash [sha256.Size]byte) (v credential.Versions, known bool, err error) {
	k := a.keeper(appid)
	if k == nil {
		return credential.Versions{}, false, nil
	}
	v, err = k.Report(ctx, kind, hash)
	if errors.Is(err, keeper.ErrUnknownValue) {
		return credential.Versions{}, false, nil
	}
	return v, true, err
}
