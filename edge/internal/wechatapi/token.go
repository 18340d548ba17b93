package wechatapi

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/wxbroker/wxbroker/edge/internal/alias"
	"github.com/wxbroker/wxbroker/edge/internal/audit"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

// tokenRequest has the parameters of both of WeChat's ways to ask for a token.
// ForceRefresh may be anything, since the edge ignores it.
type tokenRequest struct {
	GrantType    string          `json:"grant_type"`
	AppID        string          `json:"appid"`
	Secret       string          `json:"secret"`
	ForceRefresh json.RawMessage `json:"force_refresh"`
}

type tokenAnswer struct {
	AccessToken string `json:"access_token"`
	ExpiresIn   int64  `json:"expires_in"`
}

// token answers GET /cgi-bin/token.
func (a *API) token(r *http.Request, entry *audit.Entry) (any, error) {
	entry.Action, entry.Kind = audit.Token, credential.AccessToken
	if r.Method != http.MethodGet {
		return nil, wxapi.NotGet.Refusal("")
	}
	q := r.URL.Query()
	return a.handOut(tokenRequest{GrantType: q.Get("grant_type"), AppID: q.Get("appid"), Secret: q.Get("secret")}, entry)
}

// stableToken answers POST /cgi-bin/stable_token.
func (a *API) stableToken(r *http.Request, entry *audit.Entry) (any, error) {
	entry.Action, entry.Kind = audit.Token, credential.AccessToken
	if r.Method != http.MethodPost {
		return nil, wxapi.NotPost.Refusal("")
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, wxapi.InvalidFormat.Refusal("the body did not arrive whole, or is too large")
	}
	var request *tokenRequest
	if json.Unmarshal(body, &request) != nil || request == nil {
		return nil, wxapi.InvalidFormat.Refusal("")
	}
	return a.handOut(*request, entry)
}

// handOut answers with the access_token. Where this edge may not have it but may let the
// broker make calls, it answers with an alias.
func (a *API) handOut(request tokenRequest, entry *audit.Entry) (any, error) {
	switch {
	case request.GrantType != "client_credential":
		return nil, wxapi.InvalidGrantType.Refusal("it has to be client_credential")
	case request.AppID == "":
		return nil, wxapi.MissingAppID.Refusal("")
	case request.Secret == "":
		return nil, wxapi.MissingSecret.Refusal("")
	}
	who, account, err := a.Door.Secret(request.AppID, request.Secret)
	entry.LocalKey, entry.AppID = who.Key, who.AppID
	switch {
	case err != nil:
		return nil, err
	case slices.Contains(account.Kinds, credential.AccessToken):
		value, left, err := a.Door.State.Reveal(account.AppID, credential.AccessToken)
		if err != nil {
			return nil, err
		}
		if left < time.Second {
			return nil, wxapi.Busy.Refusal("the access_token is about to be replaced, ask again")
		}
		return tokenAnswer{value.Reveal(), int64(left / time.Second)}, nil
	case len(account.Calls) == 0:
		return nil, wxapi.NotAuthorized.Refusal("the broker grants this edge neither the access_token of " + account.AppID + " nor calls")
	}
	made, err := alias.New(account.AliasKey, account.AppID, entry.LocalKey, time.Now().Add(alias.Life))
	if err != nil {
		return nil, wxapi.Busy.Refusal(err.Error())
	}
	return tokenAnswer{made, int64(alias.Life / time.Second)}, nil
}
