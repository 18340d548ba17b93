package relay

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// WeChat's codes, in which the broker says no as well: whoever calls WeChat
// knows them.
// https://developers.weixin.qq.com/doc/offiaccount/Getting_Started/Global_Return_Code.html
const (
	busy            = -1
	invalidToken    = 40001
	invalidAppID    = 40013
	invalidRenewal  = 40030
	invalidArgument = 40035
	invalidMedia    = 40007
	dayIsSpent      = 45009
	tooOften        = 45011
	notAuthorized   = 48001
)

// refusal is what is in the details of a status.
type refusal struct {
	code    int // 0 for what fits the status
	message string
	retry   time.Time // zero where nobody knows
}

// fitting are the codes for statuses without one.
var fitting = map[codes.Code]int{
	codes.InvalidArgument: invalidArgument, codes.OutOfRange: invalidArgument, codes.NotFound: invalidAppID,
	codes.PermissionDenied: notAuthorized, codes.ResourceExhausted: tooOften,
}

// refuse returns a status with a refusal in its details.
func refuse(code codes.Code, r refusal) error {
	if r.code == 0 {
		if r.code = fitting[code]; r.code == 0 {
			r.code = busy
		}
	}
	detail := &wxbrokerv1.Refusal{Errcode: int32(r.code), Errmsg: r.message}
	message := fmt.Sprintf("%s (errcode %d)", r.message, r.code)
	if !r.retry.IsZero() {
		detail.RetryTime = timestamppb.New(r.retry)
	}
	s, err := status.New(code, message).WithDetails(detail)
	if err != nil { // never: the code is an error's and the detail a message
		return status.Error(code, message)
	}
	return s.Err()
}

// Refuse returns a status of that code, in whose details is the refusal of
// WeChat's that fits it.
func Refuse(code codes.Code, format string, args ...any) error {
	return refuse(code, refusal{message: fmt.Sprintf(format, args...)})
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

// statuses are the status for WeChat's codes where the class does not say it.
var statuses = map[int]codes.Code{
	invalidMedia:  codes.NotFound,
	notAuthorized: codes.PermissionDenied, 48004: codes.PermissionDenied, 48008: codes.PermissionDenied,
	50001: codes.PermissionDenied, 50002: codes.PermissionDenied,
	// What the broker sent of its own, and what a person has to change.
	40002: codes.FailedPrecondition, 40013: codes.FailedPrecondition, 40125: codes.FailedPrecondition, 40243: codes.FailedPrecondition,
	41002: codes.FailedPrecondition, 41004: codes.FailedPrecondition, 50004: codes.FailedPrecondition, 50007: codes.FailedPrecondition,
	61024: codes.FailedPrecondition,
}

// refused returns the status for what WeChat says.
func (r *Relay) refused(e *wechat.Error) error {
	said := refusal{code: e.Code, message: e.ErrMsg()}
	if e.Code == 0 {
		said = refusal{code: busy, message: "system error: " + e.Error()}
	}
	if e.Class == wechat.Quota || e.Class == wechat.Rate {
		said.retry = until(e, r.Clock())
		if e.Code == 0 {
			said.code = tooOften
		}
	}
	return refuse(statusOf(e), said)
}

func statusOf(e *wechat.Error) codes.Code {
	if code, ok := statuses[e.Code]; ok {
		return code
	}
	switch e.Class {
	case wechat.Rate, wechat.Quota:
		return codes.ResourceExhausted
	case wechat.Address, wechat.Approval, wechat.RefusedToken:
		return codes.FailedPrecondition
	case wechat.Configuration: // of a call that an app made: mostly what it sent
		return codes.InvalidArgument
	default:
		return codes.Unavailable
	}
}
