package httpapi

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/http"
	"time"

	"github.com/wxbroker/wxbroker/edge/internal/audit"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// callNames are the parameters that a call may have in the query.
var callNames = parameterNames{"appid": anywhere}

// callAccount returns the account that a call is for. Beside an error it returns the
// appid that the request names, for the audit.
func (a *API) callAccount(given rawParameters, grant credential.Grant) (string, error) {
	if len(given["appid"]) > 1 {
		return "", refuse(http.StatusBadRequest, "appid is given %d times", len(given["appid"]))
	}
	named, err := given.appid()
	if err != nil {
		return "", err
	}
	appid, err := a.State.Caller(named, grant)
	return cmp.Or(appid, named), err
}

// ask lets the broker make a small call for a caller that has presented a local key,
// and reads WeChat's answer. Its errors are gRPC statuses, also where WeChat refuses.
func (a *API) ask(r *http.Request, entry audit.Entry, head *wxbrokerv1.CallHead, body []byte, answer any) error {
	head.Appid, head.Proven = entry.AppID, true
	raw, err := a.Broker.Ask(r.Context(), entry.LocalKey, head, body)
	if err != nil {
		return err
	}
	raw = withoutControls(raw)
	var refusal struct {
		ErrCode wxapi.Code `json:"errcode"`
		ErrMsg  string     `json:"errmsg"`
	}
	switch err := json.Unmarshal(raw, &refusal); {
	case err == nil && refusal.ErrCode != 0:
		return refusal.ErrCode.Refuse(refusal.ErrMsg, time.Now())
	case err != nil || json.Unmarshal(raw, answer) != nil:
		return wxapi.SystemError("WeChat's answer is not what it documents")
	}
	return nil
}

// withoutControls returns JSON without control characters, which no string in it may have.
// WeChat passes on what its users type, and a user's name must not make a login fail.
func withoutControls(raw []byte) []byte {
	return bytes.Map(func(r rune) rune {
		if r < ' ' {
			return -1
		}
		return r
	}, raw)
}
