package rpc

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/broker/internal/audit"
	"github.com/wxbroker/wxbroker/broker/internal/relay"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// calls implements WeChatService; the .proto file says what it promises.
type calls struct {
	wxbrokerv1.UnimplementedWeChatServiceServer
	relay *relay.Relay
	guard guard
}

const (
	// standstill is how long nothing may move before a transfer is ended.
	standstill = 30 * time.Second
	// betweenLooks is how often it is asked, while a body moves, whether it still
	// may: what is revoked ends within five seconds.
	betweenLooks = 4 * time.Second
)

// pieces is how much of a body is sent at once, in bytes: just below 32 KiB with
// what is around it, since gRPC's next larger buffer has 1 MiB.
const pieces = 32<<10 - 256

// still says why a call is not to go on that was let in a while ago: what its
// caller may has changed.
func (c *calls) still(ctx context.Context, appid, api string) error {
	app, _, err := c.guard.access.App(access.CallerOf(ctx))
	switch {
	case err != nil:
		return err
	case !app.MayCall(api) || appid != "" && !app.Serves(appid):
		return relay.NotGranted(app, audit.Printable(appid), api)
	}
	return nil
}

// copy sends a body in pieces, as long as it moves and still may. A send that
// is stuck ends with the handler, which is why it is not made here.
func (c *calls) copy(ctx context.Context, body io.Reader, still func() error, send func([]byte) error) error {
	stuck := time.NewTimer(standstill)
	defer stuck.Stop()
	look := time.NewTicker(betweenLooks)
	defer look.Stop()
	ended := make(chan error, 1)
	go func() { ended <- pump(ctx, body, send, stuck) }()
	for {
		select {
		case err := <-ended:
			return err
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		case <-stuck.C:
			return status.Errorf(codes.DeadlineExceeded, "nothing of the answer has moved for %v", standstill)
		case <-look.C:
			if err := still(); err != nil {
				return err
			}
		}
	}
}

// pump sends a body in pieces and puts off stuck with each.
func pump(ctx context.Context, body io.Reader, send func([]byte) error, stuck *time.Timer) error {
	buffer := make([]byte, pieces)
	for {
		n, err := body.Read(buffer)
		if n > 0 {
			if err := send(buffer[:n]); err != nil {
				return err
			}
			stuck.Reset(standstill)
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && ctx.Err() != nil:
			return status.FromContextError(ctx.Err()).Err()
		case err != nil:
			return status.Error(codes.Unavailable, "WeChat's answer broke off")
		}
	}
}

// tell tells the audit how a stream ended.
func (c *calls) tell(ctx context.Context, e audit.Entry, err error) {
	switch {
	case err == nil:
		e.Outcome = audit.Granted
	case status.Code(err) == codes.PermissionDenied:
		e.Outcome = audit.Refused
	default:
		e.Outcome = audit.Failed
	}
	e.Err = err
	c.guard.audit.Write(ctx, e)
}
