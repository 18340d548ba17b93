package keeper

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

// randomChance returns a chance, all with the same probability.
func randomChance() chance { return chance(rand.Float64()) } //nolint:gosec // spreads load, guards nothing

// begin counts a call that is about to be made, and stores the count with the
// call's intent. The call is for s, or for no slot (nil) where it brings no
// credential. An error says why the call must not be made.
func (k *Keeper) begin(ctx context.Context, api wechat.API, s *slot, why purpose) (intent, error) {
	now := k.Clock.Now()
	if held := k.budget.heldBack(api, why, now, randomChance()); held != nil {
		return intent{}, held
	}
	in := intent{api: api, start: now, Start: now.Wall()}
	if s != nil {
		in.Kind, in.Version = s.kind, k.budget.nextVersion(s, now)
	}
	undo := k.budget.spent[api].spend(in)
	if k.put(ctx, nil, []wechat.API{api}) != nil {
		if quiet := k.budget.quiet(api, now); quiet != nil {
			undo()
			return intent{}, quiet
		}
	}
	return in, nil
}

// fetch makes a call that brings a credential for s, and counts it as a call of
// api. The caller passes what fetch returns to settle. The error is a
// *wechat.Error, or ctx's.
func (k *Keeper) fetch(ctx context.Context, api wechat.API, s *slot, why purpose, call func() (wechat.Grant, error)) (wechat.Grant, intent, error) {
	in, err := k.begin(ctx, api, s, why)
	if err != nil {
		return wechat.Grant{}, in, err
	}
	grant, err := call()
	if err == nil {
		if wrong := s.tooShort(grant); wrong != "" {
			err = &wechat.Error{API: api, Upstream: k.WeChat.Upstream(), Class: wxapi.Transient, Detail: wrong}
		}
	}
	switch {
	case err == nil:
	case !wasAnswered(err):
		s.noteUnanswered(in.start)
	case s.unansweredSince.IsZero(): // else an earlier call's intent stays open
		k.budget.close(s.kind)
	}
	return grant, in, err
}

// wasAnswered reports whether err is an answer of WeChat's. If so, the call had no
// effect.
func wasAnswered(err error) bool {
	e, ok := errors.AsType[*wechat.Error](err)
	return ok && (e.Class != wxapi.Transient || e.Code != 0)
}

// settle makes what a call brought the current value, stores it and publishes it.
// Storing it closes the call's intent. expiry and due are the value's.
func (k *Keeper) settle(ctx context.Context, s *slot, grant wechat.Grant, in intent, expiry, due credential.Instant) {
	if s.trouble.last != nil {
		k.Log.InfoContext(ctx, "WeChat call succeeds again", "kind", s.kind, "failed_calls", s.trouble.count)
	}
	rotated := s.take(grant, in.start, in.Version)
	s.expiry, s.due = expiry, due
	k.budget.close(s.kind)
	k.save(ctx)
	k.publish()
	now := k.Clock.Now()
	log := k.Log.With("kind", s.kind, "version", s.version,
		"expires_in", s.expiry.Sub(now).Round(1e9), "next_call_in", s.next().Sub(now).Round(1e9))
	if rotated {
		log.InfoContext(ctx, "rotated")
	} else {
		log.DebugContext(ctx, "unchanged")
	}
}

// noteFailure notes that a call for s failed, and when to try again.
func (k *Keeper) noteFailure(ctx context.Context, s *slot, err error) {
	if ctx.Err() != nil {
		return // the broker stops
	}
	var e *wechat.Error
	if !errors.As(err, &e) {
		e = &wechat.Error{Class: wxapi.Transient, Detail: fmt.Sprint(err)}
	}
	now := k.Clock.Now()
	if until := s.expiry.Sub(now) - s.lastGasp(); e.Class == wxapi.Budget && s.purpose(now) == scheduled && e.Wait > until {
		held := *e
		held.Wait, e = until, &held // the calls that are reserved for recovery may be used then
	}
	wait := s.trouble.add(e, now, randomChance())
	if k.budget.uncounted() && wait < uncountedRetry {
		wait = uncountedRetry
		s.trouble.retry = now.Add(wait)
	}
	if s.trouble.lasts() || s.storedWait {
		s.note(all)
	}
	k.save(ctx)
	k.show()
	k.Log.WarnContext(ctx, "WeChat call failed", "kind", s.kind, "class", e.Class, "error", e,
		"retry_in", wait, "still_serving", s.isLive(now))
}
