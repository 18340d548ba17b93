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

// refreshToken asks WeChat for the token and reports whether that gave one
// that WeChat honours.
func (k *Keeper) refreshToken(ctx context.Context) bool {
	got := k.fetchToken(ctx, false)
	detail := "WeChat handed out the token that it refuses"
	if got == refusedAgain && k.Stable {
		// WeChat refused the value and then handed it out again: only force
		// makes it mint another.
		if held := k.budget.spend(wechat.ForceRefreshAPI, recovery); held != nil {
			detail += ", and no refresh may be forced now: " + held.Error()
		} else {
			k.Log.WarnContext(ctx, "WeChat returned the stable token it refused, forcing a new one")
			got = k.fetchToken(ctx, true)
		}
	}
	if got == refusedAgain {
		k.failed(ctx, k.token, &wechat.Error{
			API: k.tokenAPI(), Upstream: k.WeChat.Upstream(), Class: wechat.RefusedToken, Detail: detail,
			Advice: "it is asked for again; if that cannot wait, reset the AppSecret at mp.weixin.qq.com, which ends the token",
		})
	}
	return got == fetched
}

// fetchedToken is what came of one call for the token.
type fetchedToken int

const (
	fetched fetchedToken = iota
	refusedAgain
	notFetched
)

func (k *Keeper) fetchToken(ctx context.Context, force bool) fetchedToken {
	s := k.token
	start := k.Clock.Now()
	grant, err := k.callToken(ctx, force)
	if err == nil {
		err = k.checkGrant(s, k.tokenAPI(), grant)
	}
	if err != nil {
		k.failed(ctx, s, err)
		return notFetched
	}
	same := grant.Value.Equal(s.value)
	if same && s.refused {
		return refusedAgain
	}
	s.refused, s.undated = false, false
	s.fetched, s.lifetime = start, grant.Lifetime
	s.expiry = start.Add(grant.Lifetime)
	s.due = start.Add(k.tokenWait(grant.Lifetime, same))
	k.settle(ctx, s, grant.Value)
	return fetched
}

func (k *Keeper) callToken(ctx context.Context, force bool) (wechat.Grant, error) {
	why := k.token.purpose(k.Clock.Now())
	if force {
		why = followUp
	}
	if err := k.budget.spend(k.tokenAPI(), why); err != nil {
		return wechat.Grant{}, err
	}
	if k.Stable {
		return k.WeChat.StableToken(ctx, k.Account, force)
	}
	return k.WeChat.Token(ctx, k.Account)
}

func (k *Keeper) tokenAPI() wechat.API {
	if k.Stable {
		return wechat.StableTokenAPI
	}
	return wechat.TokenAPI
}

// checkGrant says what is wrong with a value that WeChat handed out. A value
// that we have may be in its last second; a new one that is over already would
// be asked for again and again.
func (k *Keeper) checkGrant(s *slot, api wechat.API, grant wechat.Grant) error {
	if grant.Lifetime >= minGap || grant.Value.Equal(s.value) {
		return nil
	}
	return &wechat.Error{
		API: api, Upstream: k.WeChat.Upstream(), Class: wechat.Transient,
		Detail: "WeChat handed out a new value that expires at once",
	}
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
	if rotated {
		s.retire()
	}
	if rotated || s.remint {
		s.version = k.version(s)
		s.remint = false
	}
	s.value = value
	k.recovered(ctx, s)
	k.save(s)
	k.publish()
	log := k.Log.With("kind", s.kind, "version", s.version,
		"expires_in", s.expiry.Sub(now).Round(time.Second), "next_call_in", s.next().Sub(now).Round(time.Second))
	if rotated {
		log.InfoContext(ctx, "rotated")
	} else {
		log.DebugContext(ctx, "unchanged")
	}
}
