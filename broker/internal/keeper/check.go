package keeper

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
)

// betweenChecks is the shortest time between two questions to WeChat whether a
// value is still good, and so between two rotations for its being refused.
const betweenChecks = time.Minute

// mayCheck reports whether WeChat may be asked now, and notes that it was.
func (s *slot) mayCheck(now credential.Instant) bool {
	if !s.checked.IsZero() && s.checked.Elapsed(now) < betweenChecks {
		return false
	}
	s.checked = now
	return true
}

// checkToken finds out whether WeChat really refuses the current token, as
// reason says, and rotates it if so. It reports whether there is a new token
// to try with. Codes like 40001 come for other reasons too, so the token is
// probed first, and at most once a minute: an API that always answers 40001
// rotates nothing.
func (k *Keeper) checkToken(ctx context.Context, reason error) bool {
	if !k.token.mayCheck(k.Clock.Now()) {
		return false
	}
	probe := k.budget.spend(wechat.ProbeAPI, recovery)
	if probe == nil {
		probe = k.WeChat.Probe(ctx, k.Account, k.token.value)
	}
	switch {
	case probe == nil:
		k.Log.WarnContext(ctx, "WeChat takes a token that is said to be refused, keeping it", "reason", reason)
		return false
	case !isRefusedToken(probe):
		k.Log.WarnContext(ctx, "cannot find out whether WeChat refuses the token, keeping it", "reason", reason, "error", probe)
		return false
	}
	if k.token.unanswered {
		k.Log.WarnContext(ctx, "WeChat refuses the token: a call of ours that it did not answer has replaced it", "version", k.token.version)
	} else {
		k.diedEarly(ctx, k.token)
	}
	k.token.refused = true
	k.token.expiry = k.Clock.Now()
	k.token.due = k.token.expiry
	k.save(k.token) // or a restart would revive it
	k.publish()
	if !k.token.isDue(k.Clock.Now()) {
		return false // token calls have a wait of their own
	}
	return k.refreshToken(ctx)
}

// failed notes that a call for s failed, and when to try again.
func (k *Keeper) failed(ctx context.Context, s *slot, err error) {
	if ctx.Err() != nil {
		return // the broker stops
	}
	var e *wechat.Error
	if !errors.As(err, &e) {
		e = &wechat.Error{Class: wechat.Transient, Detail: fmt.Sprint(err)}
	}
	now := k.Clock.Now()
	if e.Class == wechat.Transient && e.Code == 0 {
		s.unanswered = true
	}
	if until := s.expiry.Sub(now) - s.lastGasp(); e.Class == wechat.Budget && s.purpose(now) == scheduled && e.Wait > until {
		held := *e
		held.Wait, e = until, &held // what is kept for recovery is for then
	}
	wait := s.trouble.add(e, now)
	if k.budget.uncounted() && wait < uncountedRetry {
		wait = uncountedRetry
		s.trouble.retry = now.Add(wait)
	}
	if s.lasting() != nil {
		k.save(s)
	}
	k.show()
	k.Log.WarnContext(ctx, "WeChat call failed", "kind", s.kind, "class", e.Class, "error", e,
		"retry_in", wait, "still_serving", s.isLive(now))
}

// recovered notes that a call for s succeeded.
func (k *Keeper) recovered(ctx context.Context, s *slot) {
	if s.trouble.last != nil {
		k.Log.InfoContext(ctx, "WeChat call succeeds again", "kind", s.kind, "failed_calls", s.trouble.count)
	}
	s.trouble, s.unanswered = trouble{}, false
}
