package relay

import (
	"context"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

// Refuse returns a status of that code. Its details have the refusal of WeChat's that
// fits.
func Refuse(code codes.Code, format string, args ...any) error {
	return wxapi.Refusal{Message: fmt.Sprintf(format, args...)}.Status(code)
}

// unknownAccount returns the status of a call for an account that the broker does not
// have.
func unknownAccount(appid string) error {
	return Refuse(codes.NotFound, "this broker keeps no account %q", appid)
}

// NotGranted returns the status for an app that may not call an API of an account.
func NotGranted(app *access.App, appid, api string) error {
	if access.Closed(api) {
		return Refuse(codes.PermissionDenied, "api unauthorized: %s hands out or resets credentials, or clears quotas, and is never called for an app", api)
	}
	return Refuse(codes.PermissionDenied, "api unauthorized: the app %s has not been granted %s of %s", app.Name, api, appid)
}

// contextEnded returns the status for a caller that has left or waited too long.
func contextEnded(ctx context.Context) error { return status.FromContextError(ctx.Err()).Err() }

// refusalStatus returns the status for WeChat's refusal.
func (r *Relay) refusalStatus(e *wechat.Error) error {
	refusal := wxapi.Refusal{Code: e.Code, Message: e.ErrMsg(), Retry: e.Class.Retry(r.Clock())}
	if e.Code == 0 {
		refusal.Code, refusal.Message = wxapi.Busy, "system error: "+e.Error()
		if e.Class == wxapi.Rate {
			refusal.Code = wxapi.TooOften
		}
	}
	return refusal.Status(e.Code.Status(e.Class))
}
