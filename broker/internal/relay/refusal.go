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

// Refuse returns a status of that code, in whose details is the refusal of
// WeChat's that fits it.
func Refuse(code codes.Code, format string, args ...any) error {
	return wxapi.Refusal{Message: fmt.Sprintf(format, args...)}.Status(code)
}

// broken returns the status of a call that came to nothing on its way.
func broken(format string, args ...any) error {
	return Refuse(codes.Unavailable, "system error: "+format, args...)
}

func notKept(appid string) error {
	return Refuse(codes.NotFound, "this broker keeps no account %q", appid)
}

// NotGranted says that an app may not call an API of an account.
func NotGranted(app *access.App, appid, api string) error {
	if access.Closed(api) {
		return Refuse(codes.PermissionDenied, "api unauthorized: %s hands out or resets credentials, or clears quotas, and is never called for an app", api)
	}
	return Refuse(codes.PermissionDenied, "api unauthorized: the app %s has not been granted %s of %s", app.Name, api, appid)
}

// contextEnded returns the status of a caller that has left or waited too long.
func contextEnded(ctx context.Context) error { return status.FromContextError(ctx.Err()).Err() }

// refused returns the status for what WeChat says.
func (r *Relay) refused(e *wechat.Error) error {
	said := wxapi.Refusal{Code: e.Code, Message: e.ErrMsg(), Retry: e.Class.Retry(r.Clock())}
	if e.Code == 0 {
		said.Code, said.Message = wxapi.Busy, "system error: "+e.Error()
		if e.Class == wxapi.Rate {
			said.Code = wxapi.TooOften
		}
	}
	return said.Status(e.Code.Status(e.Class))
}
