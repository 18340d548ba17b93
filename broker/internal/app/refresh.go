package app

import (
	"context"
	"fmt"

	"github.com/wxbroker/wxbroker/pkg/daemon"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

type refreshCommand struct {
	operation
	AppID string `name:"appid" placeholder:"ID" help:"The account; needed if the broker keeps more than one."`
	Force bool   `help:"Make WeChat replace the access_token though it is good. Whoever has the old one without a stream is cut off: at once (stable) or after five minutes (classic). Tickets cannot be forced."`
	Yes   bool   `short:"y" help:"With --force: do not ask."`
}

// Run lets the broker ask WeChat, and prints how the account is then.
func (c refreshCommand) Run(r daemon.Running) error {
	return c.ask(r, func(ctx context.Context, broker wxbrokerv1.OperatorServiceClient) error {
		account, err := account(ctx, broker, c.AppID)
		if err != nil {
			return err
		}
		if c.Force && !c.Yes {
			question := fmt.Sprintf("Make WeChat replace the access_token of %s?\nEdges get the new one at once; what holds the old one otherwise is cut off.", account.GetAppid())
			if err := confirm(r, question); err != nil {
				return err
			}
		}
		got, err := broker.Refresh(ctx, &wxbrokerv1.RefreshRequest{Appid: account.GetAppid(), Force: c.Force})
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(r.Stdout, got)
		}
		return printAccount(r.Stdout, got.GetAccount())
	})
}
