package httpapi

import (
	"cmp"
	"errors"
	"net/http"

	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

// brokerRefusal turns a status from the broker into an error for the caller. It has
// WeChat's own errcode and errmsg where there are some. request is what the broker was
// asked for.
func brokerRefusal(err error, request string) error {
	s := status.Convert(err)
	message := cmp.Or(s.Message(), "the broker answers "+s.Code().String())
	code := wxapi.HTTPStatus(s.Code())
	if wechat, ok := wxapi.RefusalIn(err); ok {
		return &refusal{status: code, message: cmp.Or(wechat.Message, message), errcode: int(wechat.Code), retry: wechat.Retry}
	}
	switch code {
	case http.StatusForbidden:
		return refuse(code, "the broker refuses this edge's %s: %s", request, message)
	case http.StatusServiceUnavailable:
		return refuse(code, "the broker cannot be asked: %s", message)
	}
	return refuse(code, "%s", message)
}

// withoutRetry takes an error of brokerRefusal and marks it where the failed call may
// have had its effect. A message may be on its way, or a code may be used up.
func withoutRetry(err error) error {
	var known *refusal
	if errors.As(err, &known) && known.status == http.StatusServiceUnavailable {
		known.mayHaveActed = true
	}
	return err
}
