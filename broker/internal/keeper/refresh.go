package keeper

import (
	"context"
	"errors"
	"fmt"

	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
)

// Refresh does at once what would be due later, for a person: it ends the
// waits after failures, and reads again what reading does not replace. With
// force WeChat replaces the token though it is good. The error is why that was
// not done: a *wechat.Error, ctx's, or ErrStopped. What else fails is in the
// status.
func (k *Keeper) Refresh(ctx context.Context, force bool) error {
	var failure error
	err := k.ask(ctx, func(calls context.Context) {
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
		if err := k.budget.spend(wechat.ForceRefreshAPI, recovery); err != nil {
			return err
		}
	} else if age := k.token.fetched.Elapsed(k.Clock.Now()); k.token.held() && age < overlap {
		return heldBack(wechat.TokenAPI, overlap-age, fmt.Sprintf("the token is %v old, and the one before it lives until it is %v", age.Round(1e9), overlap))
	}
	k.Log.InfoContext(ctx, "replacing the token, as an operator says", "version", before)
	if k.fetchToken(ctx, k.Stable) == notFetched {
		return k.token.trouble.shown()
	}
	if k.token.version == before {
		return &wechat.Error{
			API: k.tokenAPI(), Upstream: k.WeChat.Upstream(), Class: wechat.RefusedToken,
			Detail: "WeChat handed out the same token again, though another was forced",
		}
	}
	return nil
}
