package httpapi

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/wxbroker/wxbroker/edge/internal/alias"
	"github.com/wxbroker/wxbroker/edge/internal/audit"
	"github.com/wxbroker/wxbroker/edge/internal/signing"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

// caller is who a request in WeChat's shape is let in as.
type caller struct {
	name  string // as the audit has it
	key   string // the name of the local key, "" where it is not known
	appid string // "" where it is not said
	// proven is not set where only an OAuth token of a user's may be: the broker
	// knows those.
	proven bool
}

// admit lets in who presents a local key as bearer, an access_token that this
// edge knows, or an alias of one.
func (a *API) admit(r *http.Request, token string) (caller, error) {
	if !a.Keys.Current().Any() {
		return caller{}, say(wxapi.InvalidCredential, noKeys)
	}
	who, known := a.byToken(token)
	name, bearer := a.bearer(r)
	switch {
	case bearer: // and the token, if there is one, says of which account
		return caller{name, name, who.appid, true}, nil
	case known:
		return who, nil
	case token == "" && r.Header.Get("Authorization") == "":
		return caller{}, say(wxapi.MissingToken, "")
	}
	return caller{}, say(wxapi.InvalidCredential, "")
}

// byToken returns who presents an access_token that this edge knows, or an
// alias of one.
func (a *API) byToken(token string) (caller, bool) {
	now := time.Now()
	for _, account := range a.State.Accounts() {
		if name, _, ok := alias.Open(account.AliasKey, account.AppID, token, now); ok {
			return caller{name, name, account.AppID, true}, true
		}
	}
	if appid, ok := a.State.TokenOf(token); ok {
		return caller{audit.SharedToken, "", appid, true}, true
	}
	return caller{}, false
}

// admitCall lets in who may have a call made.
func (a *API) admitCall(r *http.Request, path string, q query, entry *audit.Entry) (who caller, err error) {
	if strings.HasPrefix(path, wxapi.BelowSNS) {
		who, err = a.admitUser(r, path, q, entry)
	} else {
		who, err = a.admit(r, q.token)
	}
	entry.LocalKey, entry.AppID = who.name, who.appid
	if err != nil || who.appid != "" || !who.proven {
		return who, err
	}
	named, err := a.served(q.appid)
	if err != nil {
		return who, err
	}
	who.appid, err = a.State.Caller(named, credential.Call)
	entry.AppID = who.appid
	return who, unsaid(err)
}

// unsaid is inWeChatsWords where no account is named that there is not, but none
// of several may be.
func unsaid(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, signing.ErrAccount):
		return say(wxapi.MissingAppID, err.Error())
	}
	return inWeChatsWords(err)
}

// admitUser lets in who presents a local key, as bearer or as secret, or a
// user's token, which the broker has to know.
func (a *API) admitUser(r *http.Request, path string, q query, entry *audit.Entry) (caller, error) {
	name, bearer := a.bearer(r)
	switch {
	case bearer:
		return caller{name: name, key: name, proven: true}, nil
	case path == wxapi.PathCode && q.appid == "", q.secret != "" && q.appid == "":
		return caller{}, say(wxapi.MissingAppID, "")
	case path == wxapi.PathCode && q.secret == "":
		return caller{}, say(wxapi.MissingSecret, "")
	case q.secret != "":
		account, err := a.bySecret(q.appid, q.secret, entry)
		return caller{entry.LocalKey, entry.LocalKey, account.AppID, true}, err
	case !a.Keys.Current().Any():
		return caller{}, say(wxapi.InvalidCredential, noKeys)
	case q.token == "" && !q.refreshes:
		return caller{}, say(wxapi.MissingToken, "")
	}
	if appidForm.MatchString(q.appid) {
		return caller{appid: q.appid}, nil
	}
	return caller{}, nil
}
