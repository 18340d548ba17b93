package keeper

import (
	"sync"
	"time"

	"github.com/wxbroker/wxbroker/pkg/credential"
)

// MaxClaim is how far ahead of the broker's clock a claimed version may be. A
// further one would push every later version into the future.
const MaxClaim = 24 * time.Hour

// inbox holds the highest version of each kind that an edge was seen to hold,
// until the keeper's goroutine takes it.
type inbox struct {
	mu       sync.Mutex
	versions map[credential.Kind]int64
	wake     chan struct{} // holds one when there is something to take
}

func newInbox() *inbox {
	return &inbox{versions: map[credential.Kind]int64{}, wake: make(chan struct{}, 1)}
}

// Claim says that an edge holds that version. One above the keeper's own
// proves that the database is older than what the edges were told: it was
// restored from a backup, or lost. Claim does not wait.
func (k *Keeper) Claim(kind credential.Kind, version int64) {
	if version > k.Clock().Add(MaxClaim).UnixMilli() {
		k.strange.Do(func() {
			k.Log.Warn("an edge claims a version more than a day ahead of the clock, ignoring it", "kind", kind, "claimed", version)
		})
		return
	}
	k.claims.mu.Lock()
	defer k.claims.mu.Unlock()
	if version <= k.claims.versions[kind] {
		return
	}
	k.claims.versions[kind] = version
	select {
	case k.claims.wake <- struct{}{}:
	default: // it is awake already and has not taken yet
	}
}

// takeClaims makes every credential that an edge has a newer version of due,
// to be minted above that version.
func (k *Keeper) takeClaims() {
	k.claims.mu.Lock()
	defer k.claims.mu.Unlock()
	for _, s := range k.slots() {
		claimed := k.claims.versions[s.kind]
		if claimed <= max(s.version, s.claimed) {
			continue
		}
		s.claimed = claimed
		if !s.held() {
			continue // the first value will be minted above it
		}
		k.Log.Warn("an edge holds a newer version than the database, which must be an old copy; reading WeChat again",
			"kind", s.kind, "version", s.version, "claimed", claimed)
		s.remint = true
		// Whatever is claimed, no more than one call a minute; and a classic
		// token not twice within its overlap, which would end the one before.
		soonest := s.fetched.Add(time.Minute)
		if s == k.token && !k.Stable {
			soonest = s.fetched.Add(overlap)
		}
		if s.due.Sub(soonest) > 0 {
			s.due = soonest
		}
	}
}
