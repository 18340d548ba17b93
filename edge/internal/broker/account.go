package broker

import (
	"context"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/pkg/credential"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// OnlyAccount returns the account for which the broker makes such calls, if there is
// only one. It is for programs that follow no stream and want to download something.
// The broker's operator sees the program under that name.
func (c *Client) OnlyAccount(ctx context.Context, name string, grant credential.Grant) (appid string, err error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	var state *wxbrokerv1.WatchResponse
	err = c.downloads.use(func(conn *grpc.ClientConn) error {
		stream, err := wxbrokerv1.NewCredentialServiceClient(conn).Watch(ctx)
		if err != nil {
			return err
		}
		_ = stream.Send(&wxbrokerv1.WatchRequest{Request: &wxbrokerv1.WatchRequest_Subscription{
			Subscription: &wxbrokerv1.Subscription{EdgeName: name, Calls: true}, // and no credential
		}}) // if Send fails, Recv returns the reason
		state, err = stream.Recv()
		return err
	})
	if err != nil {
		return "", err
	}
	var found []string
	for _, account := range state.GetAccounts() {
		if slices.Contains(account.GetCalls(), grant.Wire()) {
			found = append(found, account.GetAppid())
		}
	}
	switch len(found) {
	case 0:
		return "", status.Errorf(codes.PermissionDenied, "the broker does not grant %s calls of any account", grant)
	case 1:
		return found[0], nil
	}
	return "", status.Errorf(codes.InvalidArgument, "there are %d accounts, say which one with --appid", len(found))
}
