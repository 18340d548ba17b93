package keeper

import (
	"context"
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
)

const (
	// maxLead is the longest time before its expiry that a classic token is due.
	maxLead = 10 * time.Minute
	// stableLead is how long before its expiry the stable token is due: just
	// inside the last five minutes, in which WeChat hands out the next one.
	stableLead = 290 * time.Second
	// overlap is how long WeChat honours a classic token after its successor
	// was fetched.
	overlap = 5 * time.Minute
	// minGap is the shortest time between two scheduled calls.
	minGap = time.Second
)

// refreshToken asks WeChat for the token once and reports whether that gave a
// value that WeChat honours.
func (k *Keeper) refreshToken(ctx context.Context) bool {
	if !k.fetchToken(ctx, false) {
		return false
	}
	if k.token.refused && k.Stable {
		// WeChat refused the value and then handed it out again: only force
		// makes it mint another.
		k.Log.WarnContext(ctx, "WeChat returned the stable token it refused, forcing a new one")
		return k.fetchToken(ctx, true) && !k.token.refused
	}
	return !k.token.refused
}

func (k *Keeper) fetchToken(ctx context.Context, force bool) bool {
	s := k.token
	start := k.Clock.Now()
	var grant wechat.Grant
	var err error
	if k.Stable {
		grant, err = k.WeChat.StableToken(ctx, k.Account, force)
	} else {
		grant, err = k.WeChat.Token(ctx, k.Account)
	}
	if err != nil {
		k.failed(ctx, s, err)
		return false
	}
	same := grant.Value.Equal(s.value)
	s.fetched, s.lifetime = start, grant.Lifetime
	s.expiry = start.Add(grant.Lifetime)
	s.due = start.Add(k.tokenWait(grant.Lifetime, same))
	if same && s.refused {
		// Not to be served, nor to be asked for again at once.
		s.expiry, s.due = start, start.Add(betweenChecks)
	} else {
		s.refused = false
	}
	k.settle(ctx, s, grant.Value)
	return true
}

// tokenWait returns how long after a fetch the token is due.
func (k *Keeper) tokenWait(lifetime time.Duration, same bool) time.Duration {
	var wait time.Duration
	switch {
	case same: // not a rotation: ask again when half of the rest is gone
		wait = lifetime / 2
	case k.Stable:
		lead := min(stableLead, lifetime/2)
		wait = lifetime - lead + jitter(lead) // only later: earlier gives the same
	default:
		lead := min(maxLead, lifetime/10)
		wait = lifetime - lead - jitter(lead)
	}
	return max(wait, minGap)
}

// settle ends a successful call: it clears the slot's trouble, gives the value
// a version if it is a new one, and hands it on.
func (k *Keeper) settle(ctx context.Context, s *slot, value credential.Secret) {
	now := k.Clock.Now()
	rotated := !value.Equal(s.value)
	if rotated || s.remint {
		s.version = k.version(s)
		s.remint = false
	}
	s.value = value
	k.recovered(ctx, s)
	k.accept(s)
	log := k.Log.With("kind", s.kind, "version", s.version,
		"expires_in", s.expiry.Sub(now).Round(time.Second), "next_call_in", s.next().Sub(now).Round(time.Second))
	if rotated {
		log.InfoContext(ctx, "rotated")
	} else {
		log.DebugContext(ctx, "unchanged")
	}
}
