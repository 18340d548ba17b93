package wechatapi

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"

	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/edge/internal/signing"
	"github.com/wxbroker/wxbroker/edge/internal/transfer"
	"github.com/wxbroker/wxbroker/pkg/daemon"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

// refusalFor returns an error in WeChat's words. The error may come from admission, from
// the state, from the broker, or from the request's body.
func refusalFor(err error) wxapi.Refusal {
	var refusal wxapi.Refusal
	var limit *http.MaxBytesError
	var body *transfer.BodyError
	switch {
	case errors.As(err, &refusal):
		return refusal
	case errors.As(err, &limit):
		return wxapi.TooLarge.Refusal(fmt.Sprintf("the body has more than %d bytes", limit.Limit))
	case errors.As(err, &body):
		return wxapi.InvalidFormat.Refusal("the body did not arrive whole")
	case errors.Is(err, signing.ErrAccount):
		return wxapi.InvalidAppID.Refusal(err.Error())
	case errors.Is(err, signing.ErrNotGranted):
		return wxapi.NotAuthorized.Refusal(err.Error())
	case errors.Is(err, signing.ErrUnavailable):
		return wxapi.Busy.Refusal(err.Error())
	}
	s := status.Convert(err)
	if refusal, ok := wxapi.RefusalIn(err); ok {
		refusal.Message = cmp.Or(refusal.Message, s.Message())
		return refusal
	}
	return wxapi.Fitting(s.Code()).Refusal(cmp.Or(s.Message(), s.Code().String()))
}

// missingAppID turns an error of choosing an account into WeChat's error for a missing
// appid. It is for programs that did not name an account.
func missingAppID(err error) error {
	if errors.Is(err, signing.ErrAccount) {
		return wxapi.MissingAppID.Refusal(err.Error())
	}
	return err
}

// refuse answers with an error in WeChat's words. It returns the HTTP status that it
// sent. For the audit it also returns the status that a path of the edge's own would
// have sent.
func refuse(w http.ResponseWriter, err error) (sent, audited int) {
	refusal := refusalFor(err)
	if !refusal.Retry.IsZero() {
		daemon.RetryAfter(w.Header(), refusal.Retry)
	}
	daemon.Answer(w, http.StatusOK, daemon.Refusal{ErrCode: int(refusal.Code), ErrMsg: refusal.Message})
	return http.StatusOK, refusal.Code.HTTPStatus()
}
