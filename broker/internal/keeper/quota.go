package keeper

import (
	"context"
	"errors"

	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
)

// Quota is one API's calls by our count and by WeChat's.
type Quota struct {
	Ours Spent
	// WeChat is what WeChat counts; nil where it was not asked or did not say,
	// and then Err says why, if there is more to say than that WeChat has no
	// such count.
	WeChat *wechat.DayQuota
	Err    error
}

// Quota asks WeChat for its own count of today's calls of every API that this
// account uses. The error is ctx's, or ErrStopped.
func (k *Keeper) Quota(ctx context.Context) ([]Quota, error) {
	var quotas []Quota
	var counted []int // the indices in quotas that WeChat is to be asked about
	var account wechat.Account
	var token credential.Secret
	// The keeper's own calls are not to wait for these, so all that its
	// goroutine does is to count them and to lend the token.
	err := k.ask(ctx, func(context.Context) {
		account, token = k.Account, k.token.value
		live := k.token.isLive(k.Clock.Now())
		for _, spent := range k.budget.list() {
			q := Quota{Ours: spent}
			switch {
			case !k.uses(spent.API) || !wechat.HasQuota(spent.API):
			case !live:
				q.Err = errors.New("there is no live access_token to ask with")
			default:
				if q.Err = k.budget.spend(wechat.QuotaAPI, scheduled); q.Err == nil {
					counted = append(counted, len(quotas))
				}
			}
			quotas = append(quotas, q)
		}
	})
	if err != nil {
		return nil, err
	}
	for _, i := range counted {
		q := &quotas[i]
		var got wechat.DayQuota
		if got, q.Err = k.WeChat.Quota(ctx, account, token, q.Ours.API); q.Err == nil {
			q.WeChat = &got
		}
	}
	return quotas, ctx.Err()
}

// uses reports whether this account's credentials are kept with that API.
func (k *Keeper) uses(api wechat.API) bool {
	return api == k.tokenAPI() || api == wechat.TicketAPI || api == wechat.ProbeAPI
}

// ClearQuota makes WeChat forget today's calls of the account, and with them
// ours: what waits because of them goes on. It returns how many of the month's
// clearings are spent. The error is a *wechat.Error, ctx's, or ErrStopped.
func (k *Keeper) ClearQuota(ctx context.Context) (Spent, error) {
	var spent Spent
	var failure error
	err := k.ask(ctx, func(calls context.Context) {
		failure = k.clearQuota(calls)
		for _, s := range k.budget.list() {
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
	if err := k.budget.spend(wechat.ClearQuotaAPI, recovery); err != nil {
		return err
	}
	if err := k.WeChat.ClearQuota(ctx, k.Account); err != nil {
		if e, ok := errors.AsType[*wechat.Error](err); ok && e.Code > 0 {
			k.budget.refund(wechat.ClearQuotaAPI) // WeChat counts only what took effect
		}
		return err
	}
	k.Log.InfoContext(ctx, "the quota of every API was cleared at WeChat")
	k.budget.renew()
	for _, s := range k.slots() {
		if s.trouble.is(wechat.Quota) || s.trouble.held != nil {
			s.trouble.retry = k.Clock.Now()
			k.save(s)
		}
	}
	return nil
}
