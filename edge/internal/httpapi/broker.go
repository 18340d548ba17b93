package httpapi

import (
	"cmp"
	"errors"
	"net/http"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/edge/internal/calls"
)

// statuses are HTTP's for those of gRPC; for any other it is 503.
var statuses = map[codes.Code]int{
	codes.InvalidArgument:    http.StatusBadRequest,
	codes.NotFound:           http.StatusNotFound,
	codes.PermissionDenied:   http.StatusForbidden, // for as long as the grant is missing
	codes.ResourceExhausted:  http.StatusTooManyRequests,
	codes.OutOfRange:         http.StatusRequestedRangeNotSatisfiable,
	codes.FailedPrecondition: http.StatusBadGateway,
}

// brokerSays turns the status of what was asked of the broker into what the
// caller is told: WeChat's own errcode and errmsg where there are.
func brokerSays(err error, asked string) error {
	s := status.Convert(err)
	message := cmp.Or(s.Message(), "the broker answers "+s.Code().String())
	code, ok := statuses[s.Code()]
	if !ok {
		code = http.StatusServiceUnavailable
	}
	if wechat := calls.RefusalIn(err); wechat != nil {
		says := &refusal{status: code, message: cmp.Or(wechat.GetErrmsg(), message), errcode: int(wechat.GetErrcode())}
		if wechat.GetRetryTime().IsValid() {
			says.retry = wechat.GetRetryTime().AsTime()
		}
		return says
	}
	switch code {
	case http.StatusForbidden:
		return refuse(code, "the broker refuses this edge's %s: %s", asked, message)
	case http.StatusServiceUnavailable:
		return refuse(code, "the broker cannot be asked: %s", message)
	}
	return refuse(code, "%s", message)
}

// onlyOnce returns an error of brokerSays for what may have been done although
// it failed: a message may be on its way, and a code used up.
func onlyOnce(err error) error {
	var known *refusal
	if errors.As(err, &known) && known.status == http.StatusServiceUnavailable {
		known.once = true
	}
	return err
}
