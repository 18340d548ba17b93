package keeper

import (
	"context"
	"errors"

	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

// refreshToken asks WeChat for the token. It reports whether WeChat handed out one
// that it honours.
func (k *Keeper) refreshToken(ctx context.Context) bool {
	got := k.fetchToken(ctx, false)
	detail := "WeChat handed out the token that it refuses"
	if got == refusedTokenAgain && k.Stable {
		// WeChat refused the value and then handed it out again. Only force makes
		// WeChat mint another.
		if _, held := k.begin(ctx, wechat.ForceRefreshAPI, nil, recovery); held != nil {
			detail += ", and no refresh may be forced now: " + held.Error()
		} else {
			k.Log.WarnContext(ctx, "WeChat returned the stable token it refused, forcing a new one")
			got = k.fetchToken(ctx, true)
		}
	}
	if got == refusedTokenAgain {
		k.noteFailure(ctx, k.token, &wechat.Error{
			API: k.tokenAPI(), Upstream: k.WeChat.Upstream(), Class: wxapi.RefusedToken, Detail: detail,
			Advice: "it is asked for again; if that cannot wait, reset the AppSecret at mp.weixin.qq.com, which ends the token",
		})
	}
	return got == goodToken
}

// tokenOutcome is the outcome of one call for the token.
type tokenOutcome int

const (
	goodToken         tokenOutcome = iota // a token that WeChat honours, new or as before
	refusedTokenAgain                     // the token that WeChat refuses
	noToken                               // the call failed
)

func (k *Keeper) fetchToken(ctx context.Context, force bool) tokenOutcome {
	s := k.token
	why := s.purpose(k.Clock.Now())
	if force {
		why = followUp
	}
	grant, in, err := k.fetch(ctx, k.tokenAPI(), s, why, func() (wechat.Grant, error) {
		if k.Stable {
			return k.WeChat.StableToken(ctx, k.Account, force)
		}
		return k.WeChat.Token(ctx, k.Account)
	})
	if err != nil {
		k.noteFailure(ctx, s, err)
		return noToken
	}
	same := grant.Value.Equal(s.value)
	if same && s.refused {
		k.budget.close(s.kind)
		return refusedTokenAgain
	}
	due := in.start.Add(tokenWait(grant.Lifetime, same, k.Stable, randomChance()))
	k.settle(ctx, s, grant, in, in.start.Add(grant.Lifetime), due)
	return goodToken
}

func (k *Keeper) tokenAPI() wechat.API {
	if k.Stable {
		return wechat.StableTokenAPI
	}
	return wechat.TokenAPI
}

// refreshTicket reads a ticket once. It reads it a second time when WeChat refused
// the token and there is now a new one.
func (k *Keeper) refreshTicket(ctx context.Context, s *slot) {
	read := func(why purpose) (wechat.Grant, intent, error) {
		return k.fetch(ctx, wechat.TicketAPI, s, why, func() (wechat.Grant, error) {
			return k.WeChat.Ticket(ctx, k.Account, k.token.value, s.kind)
		})
	}
	grant, in, err := read(s.purpose(k.Clock.Now()))
	if isRefusedToken(err) && k.checkToken(ctx, err) {
		grant, in, err = read(followUp)
	}
	if err != nil {
		k.noteFailure(ctx, s, err)
		return
	}
	if s.isLive(in.start) && !grant.Value.Equal(s.value) && s.seen.early(s.value, grant.Lifetime, in.start) {
		k.noteEarlyEnd(ctx, s)
	}
	expiry, due := s.seen.age(grant, in.start, s.unansweredSince)
	k.settle(ctx, s, grant, in, expiry, due)
}

func isRefusedToken(err error) bool {
	var e *wechat.Error
	return errors.As(err, &e) && e.Class == wxapi.RefusedToken
}

// errReported is the reason of a check that a report caused.
var errReported = errors.New("somebody reports that WeChat refused it")

// check asks WeChat whether the current value of s is good. It checks a token by a
// call that changes nothing, and a ticket by reading it again.
func (k *Keeper) check(ctx context.Context, s *slot) {
	switch {
	case s == k.token:
		k.checkToken(ctx, errReported)
	case k.token.isLive(k.Clock.Now()) && s.mayCheck(k.Clock.Now()):
		k.refreshTicket(ctx, s)
	}
}

// checkToken finds out whether WeChat really refuses the current token, as reason
// says. If so, it rotates the token. It reports whether there is a new token to try
// with. WeChat answers codes like 40001 for other reasons too. So the token is
// probed first, at most once a minute, and an API that always answers 40001 causes
// no rotation.
func (k *Keeper) checkToken(ctx context.Context, reason error) bool {
	s := k.token
	if !s.mayCheck(k.Clock.Now()) {
		return false
	}
	_, probe := k.begin(ctx, wechat.ProbeAPI, nil, recovery)
	if probe == nil {
		probe = k.WeChat.Probe(ctx, k.Account, s.value)
	}
	switch {
	case probe == nil:
		k.Log.WarnContext(ctx, "WeChat takes a token that is said to be refused, keeping it", "reason", reason)
		return false
	case !isRefusedToken(probe):
		k.Log.WarnContext(ctx, "cannot find out whether WeChat refuses the token, keeping it", "reason", reason, "error", probe)
		return false
	}
	if !s.unansweredSince.IsZero() {
		k.Log.WarnContext(ctx, "WeChat refuses the token: a call of ours that it did not answer has replaced it", "version", s.version)
	} else {
		k.noteEarlyEnd(ctx, s)
	}
	s.refuse(k.Clock.Now())
	k.save(ctx)
	k.publish()
	if !s.isDue(k.Clock.Now()) {
		return false // token calls have a wait of their own
	}
	return k.refreshToken(ctx)
}

// noteEarlyEnd notes that the value of s ended before its time. If it happens
// once, a person at mp.weixin.qq.com may have caused it. If it happens more often,
// another program fetches tokens for this appid, and every value ends soon after
// it was fetched.
func (k *Keeper) noteEarlyEnd(ctx context.Context, s *slot) {
	died := s.addEarlyEnd(k.Clock())
	log := k.Log.With("kind", s.kind, "version", s.version, "expected_expiry", s.expiry.Wall(), "in_24h", died)
	if died == 1 {
		log.WarnContext(ctx, "WeChat ended a value before its time")
		return
	}
	log.ErrorContext(ctx, "WeChat ends values before their time, again and again: "+outsideAdvice)
}

const outsideAdvice = "something else refreshes this appid; look for another broker, old token scripts, or a platform that was given " +
	"the AppSecret, and reset the AppSecret at mp.weixin.qq.com if you cannot find it"
