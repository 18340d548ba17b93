package keeper

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

// inbox holds news for the keeper. Other goroutines put it in without waiting, and
// the keeper's own goroutine takes it out.
type inbox struct {
	mu       sync.Mutex
	versions map[credential.Kind]int64 // the highest that edges were seen to hold
	secret   *credential.Secret        // nil for no news
	wake     chan struct{}             // holds one element when there is news
}

func newInbox() *inbox {
	return &inbox{versions: map[credential.Kind]int64{}, wake: make(chan struct{}, 1)}
}

// ring wakes the keeper. i.mu is held.
func (i *inbox) ring() {
	select {
	case i.wake <- struct{}{}:
	default: // the keeper is awake already, and has not taken the news yet
	}
}

// inherit takes over the versions of another inbox. It does not take over the
// secret, because the keeper of this inbox was given a later one.
func (i *inbox) inherit(other *inbox) {
	other.mu.Lock()
	versions := maps.Clone(other.versions)
	other.mu.Unlock()
	i.mu.Lock()
	defer i.mu.Unlock()
	for kind, version := range versions {
		i.versions[kind] = max(i.versions[kind], version)
	}
	i.ring()
}

// MaxClaim is how far ahead of the broker's clock a claimed version may be. A
// version further ahead would push every later version into the future.
const MaxClaim = 24 * time.Hour

// Claim tells the keeper that an edge holds that version. A version above the
// keeper's own proves that the database is older than what the edges have. So the
// database was restored from a backup, or lost. Claim does not wait.
func (k *Keeper) Claim(kind credential.Kind, version int64) {
	if version > k.Clock().Add(MaxClaim).UnixMilli() {
		k.claimWarning.Do(func() {
			k.Log.Warn("an edge claims a version more than a day ahead of the clock, ignoring it", "kind", kind, "claimed", version)
		})
		return
	}
	k.inbox.mu.Lock()
	defer k.inbox.mu.Unlock()
	if version > k.inbox.versions[kind] {
		k.inbox.versions[kind] = version
		k.inbox.ring()
	}
}

// UseSecret hands the keeper a changed AppSecret. It does not wait.
func (k *Keeper) UseSecret(secret credential.Secret) {
	k.inbox.mu.Lock()
	defer k.inbox.mu.Unlock()
	k.inbox.secret = &secret
	k.inbox.ring()
}

// takeInbox takes the news out of the inbox.
func (k *Keeper) takeInbox() {
	k.inbox.mu.Lock()
	versions, secret := maps.Clone(k.inbox.versions), k.inbox.secret
	k.inbox.secret = nil
	k.inbox.mu.Unlock()
	for _, s := range k.slots() {
		// A newer version at an edge proves that the database is an old copy. Every
		// such credential gets a version above the edge's.
		before := s.version
		if s.claim(versions[s.kind], s == k.token && !k.Stable) {
			k.Log.Warn("an edge holds a newer version than the database, which must be an old copy; reading WeChat again",
				"kind", s.kind, "version", before, "claimed", s.highestClaim)
		}
	}
	if secret != nil {
		k.takeSecret(*secret)
	}
}

// takeSecret begins to use an AppSecret. A back-off that the old secret may have
// caused ends at once.
func (k *Keeper) takeSecret(secret credential.Secret) {
	if secret.Equal(k.Account.Secret) {
		return
	}
	k.Log.Info("the AppSecret has changed, using the new one from now on")
	k.Account.Secret = secret
	k.secret.Store(&secret)
	for _, s := range k.slots() {
		if s.trouble.is(wxapi.Configuration) {
			s.trouble.retry = k.Clock.Now()
		}
	}
}

// Secret returns the AppSecret as it is now.
func (k *Keeper) Secret() credential.Secret { return *k.secret.Load() }

// ErrStopped is the error for a question to a keeper that has stopped, when no
// other keeper has taken its place.
var ErrStopped = errors.New("the keeper has stopped")

// question is a function that runs on a keeper's goroutine. Only there may a
// function look at the keeper's state. The calls to WeChat that it makes end with
// the context calls.
type question func(calls context.Context, k *Keeper)

// ask runs q on the keeper's goroutine and waits for its end. Where another keeper
// has taken the place of this one, q runs on that one's goroutine. The error is
// ctx's, or ErrStopped. After ctx's error q may still run.
func (k *Keeper) ask(ctx context.Context, q question) error {
	for ; k != nil; k = k.successor.Load() {
		done := make(chan struct{})
		select {
		case k.questions <- func(calls context.Context, k *Keeper) { defer close(done); q(calls, k) }:
		case <-ctx.Done():
			return ctx.Err()
		case <-k.stopped:
			continue
		}
		select {
		case <-done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-k.stopped:
		}
		select {
		case <-done:
			return nil
		default: // q has not begun
		}
	}
	return ErrStopped
}

// Settle waits until the keeper has done what it does now, such as a refresh. The
// error is ctx's, or ErrStopped.
func (k *Keeper) Settle(ctx context.Context) error {
	return k.ask(ctx, func(context.Context, *Keeper) {})
}
