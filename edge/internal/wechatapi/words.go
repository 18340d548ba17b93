package wechatapi

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/edge/internal/signing"
	"github.com/wxbroker/wxbroker/edge/internal/transfer"
	"github.com/wxbroker/wxbroker/pkg/daemon"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

// inWords returns an error as WeChat would say it: one of admission, of the state,
// of the broker, or of the request's body.
func inWords(err error) wxapi.Refusal {
	var said wxapi.Refusal
	var limit *http.MaxBytesError
	var body *transfer.BodyError
	switch {
	case errors.As(err, &said):
		return said
	case errors.As(err, &limit):
		return say(wxapi.TooLarge, fmt.Sprintf("the body has more than %d bytes", limit.Limit))
	case errors.As(err, &body):
		return say(wxapi.InvalidFormat, "the body did not arrive whole")
	case errors.Is(err, signing.ErrAccount):
		return say(wxapi.InvalidAppID, err.Error())
	case errors.Is(err, signing.ErrNotGranted):
		return say(wxapi.NotAuthorized, err.Error())
	case errors.Is(err, signing.ErrUnavailable):
		return say(wxapi.Busy, err.Error())
	}
	s := status.Convert(err)
	if said, ok := wxapi.RefusalIn(err); ok {
		said.Message = cmp.Or(said.Message, s.Message())
		return said
	}
	return say(wxapi.Fitting(s.Code()), cmp.Or(s.Message(), s.Code().String()))
}

// say returns a refusal with WeChat's words for its code, and why.
func say(code wxapi.Code, why string) wxapi.Refusal {
	var said wxapi.Refusal
	_ = errors.As(code.Say(why), &said) // it is one
	return said
}

// whichAccount returns an error of choosing an account for a program that named
// none: then it is the appid that is missing.
func whichAccount(err error) error {
	if errors.Is(err, signing.ErrAccount) {
		return wxapi.MissingAppID.Say(err.Error())
	}
	return err
}

// refuse answers with an error in WeChat's words. It returns the status that was
// sent, and what HTTP's would be on a path of ours, for the audit.
func refuse(w http.ResponseWriter, err error) (sent, audited int) {
	said := inWords(err)
	if !said.Retry.IsZero() {
		w.Header().Set("Retry-After", strconv.Itoa(max(1, int(math.Ceil(time.Until(said.Retry).Seconds())))))
	}
	daemon.Answer(w, http.StatusOK, daemon.Refusal{ErrCode: int(said.Code), ErrMsg: said.Message})
	return http.StatusOK, said.Code.HTTPStatus()
}
