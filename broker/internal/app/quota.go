package app

import (
	"context"
	"fmt"

	"github.com/wxbroker/wxbroker/pkg/daemon"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

type quotaCommand struct {
	operation
	AppID string `name:"appid" placeholder:"ID" help:"The account; needed if the broker keeps more than one."`
	Clear bool   `help:"Make WeChat forget today's calls of every API of the account. WeChat allows it ten times a month."`
	Yes   bool   `short:"y" help:"With --clear: do not ask."`
}

// Run prints the quotas, or clears them.
func (c quotaCommand) Run(r daemon.Running) error {
	return c.ask(r, func(ctx context.Context, broker wxbrokerv1.OperatorServiceClient) error {
		account, err := account(ctx, broker, c.AppID)
		if err != nil {
			return err
		}
		if c.Clear {
			return c.clear(ctx, r, broker, account)
		}
		got, err := broker.GetQuota(ctx, &wxbrokerv1.GetQuotaRequest{Appid: account.GetAppid()})
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(r.Stdout, got)
		}
		return printQuota(r.Stdout, account.GetAppid(), got)
	})
}

// clear asks the person and then WeChat.
func (c quotaCommand) clear(ctx context.Context, r daemon.Running, broker wxbrokerv1.OperatorServiceClient, account *wxbrokerv1.AccountStatus) error {
	if !c.Yes {
		question := fmt.Sprintf("Make WeChat forget today's calls of every API of %s?\nWeChat allows it ten times a month; this broker has done it %d times.",
			account.GetAppid(), spentOn(account, "clear_quota").GetUsed())
		if err := confirm(r, question); err != nil {
			return err
		}
	}
	got, err := broker.ClearQuota(ctx, &wxbrokerv1.ClearQuotaRequest{Appid: account.GetAppid()})
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(r.Stdout, got)
	}
	_, err = fmt.Fprintf(r.Stdout, "Cleared. That was number %d of the %d that WeChat allows this month.\n", got.GetOurs().GetUsed(), got.GetOurs().GetLimit())
	return err
}

// spentOn returns the budget of an API, nil if the account has none for it.
func spentOn(account *wxbrokerv1.AccountStatus, api string) *wxbrokerv1.CallBudget {
	for _, b := range account.GetBudget() {
		if b.GetApi() == api {
			return b
		}
	}
	return nil
}
