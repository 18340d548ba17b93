package keeper

import (
	"context"
	"errors"
	"fmt"

	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

// Refresh does at once, for a person, what would be due later. It ends the waits
// after failures, and reads again every value that reading does not replace. With
// force WeChat replaces the token although it is good. The error says why that was
// not done: it is a *wechat.Error, ctx's, or ErrStopped. Other failures are in the
// status.
func (k *Keeper) Refresh(ctx context.Context, force bool) error {
	var failure error
	err := k.ask(ctx, func(calls context.Context, k *Keeper) {
		if force {
			failure = k.forceToken(calls)
		}
		for _, s := range k.slots() {
			s.trouble.retry = credential.Instant{}
			if s != k.token || k.Stable && !force {
				s.due = k.Clock.Now()
			}
		}
		k.work(calls, calls)
		k.show() // whoever asked looks at the status next
	})
	return errors.Join(err, failure)
}

// forceToken makes WeChat replace the token.
func (k *Keeper) forceToken(ctx context.Context) error {
	before := k.token.version
	if k.Stable {
		if _, err := k.begin(ctx, wechat.ForceRefreshAPI, nil, recovery); err != nil {
			return err
		}
	} else if age := k.token.fetched.Elapsed(k.Clock.Now()); k.token.held() && age < overlap {
		return heldBackError(wechat.TokenAPI, overlap-age, fmt.Sprintf("the token is %v old, and the one before it lives until it is %v", age.Round(1e9), overlap))
	}
	k.Log.InfoContext(ctx, "replacing the token, as an operator says", "version", before)
	if k.fetchToken(ctx, k.Stable) == noToken {
		return k.token.trouble.visible()
	}
	if k.token.version == before {
		return &wechat.Error{
			API: k.tokenAPI(), Upstream: k.WeChat.Upstream(), Class: wxapi.RefusedToken,
			Detail: "WeChat handed out the same token again, though another was forced",
		}
	}
	return nil
}

// Quota is one API's calls by our count and by WeChat's.
type Quota struct {
	Ours Spent
	// WeChat is WeChat's own count. It is nil where WeChat was not asked or gave
	// none. Err then says why, or is nil where WeChat has no such count.
	WeChat *wechat.DayQuota
	Err    error
}

// Quota asks WeChat for its own count of today's calls of every API that this
// account uses. The error is ctx's, or ErrStopped.
func (k *Keeper) Quota(ctx context.Context) ([]Quota, error) {
	var quotas []Quota
	var asked []int // the indices in quotas that WeChat is asked about
	var account wechat.Account
	var token credential.Secret
	// The keeper's own calls must not wait for these. So its goroutine only counts
	// them and lends the token.
	err := k.ask(ctx, func(calls context.Context, k *Keeper) {
		account, token = k.Account, k.token.value
		live := k.token.isLive(k.Clock.Now())
		for _, spent := range k.budget.list(k.Clock()) {
			q := Quota{Ours: spent}
			switch {
			case !k.uses(spent.API) || !wechat.HasQuota(spent.API):
			case !live:
				q.Err = errors.New("there is no live access_token to ask with")
			default:
				if _, q.Err = k.begin(calls, wechat.QuotaAPI, nil, scheduled); q.Err == nil {
					asked = append(asked, len(quotas))
				}
			}
			quotas = append(quotas, q)
		}
	})
	if err != nil {
		return nil, err
	}
	for _, i := range asked {
		q := &quotas[i]
		var got wechat.DayQuota
		if got, q.Err = k.WeChat.Quota(ctx, account, token, q.Ours.API); q.Err == nil {
			q.WeChat = &got
		}
	}
	return quotas, ctx.Err()
}

// uses reports whether the keeper calls that API for this account's credentials.
func (k *Keeper) uses(api wechat.API) bool {
	return api == k.tokenAPI() || api == wechat.TicketAPI || api == wechat.ProbeAPI
}

// ClearQuota makes WeChat forget today's calls of the account, and forgets our
// counts too. Calls that waited because of them go on. It returns how many of the
// month's clearings are spent. The error is a *wechat.Error, ctx's, or ErrStopped.
func (k *Keeper) ClearQuota(ctx context.Context) (Spent, error) {
	var spent Spent
	var failure error
	err := k.ask(ctx, func(calls context.Context, k *Keeper) {
		failure = k.clearQuota(calls)
		for _, s := range k.budget.list(k.Clock()) {
			if s.API == wechat.ClearQuotaAPI {
				spent = s
			}
		}
	})
	if err != nil {
		return Spent{}, err
	}
	return spent, failure
}

func (k *Keeper) clearQuota(ctx context.Context) error {
	if _, err := k.begin(ctx, wechat.ClearQuotaAPI, nil, recovery); err != nil {
		return err
	}
	defer k.save(ctx)
	if err := k.WeChat.ClearQuota(ctx, k.Account); err != nil {
		if e, ok := errors.AsType[*wechat.Error](err); ok && e.Code > 0 {
			k.budget.refund(wechat.ClearQuotaAPI, k.Clock()) // WeChat counts only what took effect
		}
		return err
	}
	k.Log.InfoContext(ctx, "the quota of every API was cleared at WeChat")
	k.budget.renew(k.Clock())
	for _, s := range k.slots() {
		if s.trouble.is(wxapi.Quota) || s.trouble.held != nil {
			s.trouble.retry = k.Clock.Now()
			s.note(all) // the wait
		}
	}
	return nil
}
