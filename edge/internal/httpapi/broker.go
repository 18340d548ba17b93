package httpapi

import (
	"cmp"
	"errors"
	"net/http"

	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

// brokerSays turns the status of what was asked of the broker into what the
// caller is told: WeChat's own errcode and errmsg where there are.
func brokerSays(err error, asked string) error {
	s := status.Convert(err)
	message := cmp.Or(s.Message(), "the broker answers "+s.Code().String())
	code := wxapi.HTTPStatus(s.Code())
	if wechat, ok := wxapi.RefusalIn(err); ok {
		return &refusal{status: code, message: cmp.Or(wechat.Message, message), errcode: int(wechat.Code), retry: wechat.Retry}
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
