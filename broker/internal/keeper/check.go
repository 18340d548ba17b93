package keeper

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/wechat"
)

// betweenChecks is the shortest time between two probes of a token, and so
// between two rotations for its being refused.
const betweenChecks = time.Minute

// checkToken finds out whether WeChat really refuses the current token, as
// refusal says, and rotates it if so. It reports whether there is a new token
// to try with. Codes like 40001 come for other reasons too, so the token is
// probed first, and at most once a minute: an API that always answers 40001
// rotates nothing.
func (k *Keeper) checkToken(ctx context.Context, refusal error) bool {
	now := k.Clock.Now()
	if !k.checked.IsZero() && k.checked.Elapsed(now) < betweenChecks {
		return false
	}
	k.checked = now
	probe := k.WeChat.Probe(ctx, k.Account, k.token.value)
	if probe == nil {
		k.Log.WarnContext(ctx, "WeChat refused the token on one API and takes it on another, keeping it", "error", refusal)
		return false
	}
	if !isRefusedToken(probe) {
		return false // says nothing about the token
	}
	k.Log.WarnContext(ctx, "WeChat refuses the current token before its time, fetching another; "+
		"does something else fetch tokens for this appid?", "version", k.token.version, "error", probe)
	k.token.refused = true
	k.token.expiry = now
	k.publish()
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
	wait := s.trouble.add(e, now)
	k.Log.WarnContext(ctx, "WeChat call failed", "kind", s.kind, "class", e.Class, "error", e,
		"retry_in", wait, "still_serving", s.isLive(now))
	k.report()
}

// recovered notes that a call for s succeeded.
func (k *Keeper) recovered(ctx context.Context, s *slot) {
	if s.trouble.last != nil {
		k.Log.InfoContext(ctx, "WeChat call succeeds again", "kind", s.kind, "failed_calls", s.trouble.count)
	}
	s.trouble = trouble{}
}
