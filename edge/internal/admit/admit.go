// Package admit says who may ask an edge for more than a signature: for a credential,
// or for a call to WeChat.
//
// A caller can present one of four things:
//
//   - A local key as bearer token. The edge's own paths take nothing else ([Door.Key]).
//   - A local key in the place of the AppSecret, on WeChat's paths ([Door.Secret]).
//   - An access_token that this edge knows, or an alias of one, on WeChat's paths
//     ([Door.Token]).
//   - A user's OAuth token, on WeChat's paths about a page's user. Only the broker can
//     judge it ([Door.User]).
//
// The rule to keep: a caller that presents nothing known learns nothing, not even which
// accounts there are. Where there is no local key, everything is refused.
package admit

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/wxbroker/wxbroker/edge/internal/alias"
	"github.com/wxbroker/wxbroker/edge/internal/audit"
	"github.com/wxbroker/wxbroker/edge/internal/localkey"
	"github.com/wxbroker/wxbroker/edge/internal/signing"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

// Door admits callers. Keys may be nil. Then Door admits nobody.
type Door struct {
	State *signing.State
	Keys  *localkey.Source
}

// Caller is an admitted caller. Beside an error it has what is known of the caller.
type Caller struct {
	Name  string // the caller's name in the audit
	Key   string // the name of the local key, "" where it is not known
	AppID string // "" where the caller names no account
	// Proven is set where the caller has proved who it is. It is not set where the
	// caller presents only a user's OAuth token, which the broker has to judge.
	Proven bool
}

var (
	// ErrNoKeys is returned by [Door.Key] where the edge has no local keys.
	ErrNoKeys = errors.New("this edge has no local key")
	// ErrNoKey is returned by [Door.Key] for a caller that presents none of the keys.
	ErrNoKey = errors.New("no local key of this edge is presented")
)

// noKeys is ErrNoKeys for callers of WeChat's paths.
const noKeys = "this edge has no local key, so nobody is let in: give it one with --local-key-file"

// Key returns the name of the local key that is presented as bearer.
func (d Door) Key(r *http.Request) (name string, err error) {
	if !d.Keys.Current().Any() {
		return "", ErrNoKeys
	}
	name, ok := d.bearer(r)
	if !ok {
		return "", ErrNoKey
	}
	return name, nil
}

// bearer returns the name of the local key that is presented in RFC 6750's form.
func (d Door) bearer(r *http.Request) (name string, ok bool) {
	scheme, presented, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	name, ok = d.Keys.Current().Match(strings.TrimLeft(presented, " ")) // RFC 9110 allows several spaces
	return name, ok && strings.EqualFold(scheme, "Bearer")
}

// Token admits a caller that presents a local key as bearer token, an access_token that
// this edge knows, or an alias of one. Its errors are [wxapi.Refusal]s.
func (d Door) Token(r *http.Request, token string) (Caller, error) {
	if !d.Keys.Current().Any() {
		return Caller{}, wxapi.InvalidCredential.Refusal(noKeys)
	}
	who, known := d.byToken(token)
	name, bearer := d.bearer(r)
	switch {
	case bearer: // the token, if there is one, names the account
		return Caller{name, name, who.AppID, true}, nil
	case known:
		return who, nil
	case token == "" && r.Header.Get("Authorization") == "":
		return Caller{}, wxapi.MissingToken.Refusal("")
	}
	return Caller{}, wxapi.InvalidCredential.Refusal("")
}

// byToken returns the caller that presents an access_token that this edge knows, or an
// alias of one.
func (d Door) byToken(token string) (Caller, bool) {
	now := time.Now()
	for _, account := range d.State.Accounts() {
		if name, _, ok := alias.Open(account.AliasKey, account.AppID, token, now); ok {
			return Caller{name, name, account.AppID, true}, true
		}
	}
	if appid, ok := d.State.TokenOf(token); ok {
		return Caller{audit.SharedToken, "", appid, true}, true
	}
	return Caller{}, false
}

// Secret admits a caller that presents a local key in the place of an account's
// AppSecret. It returns the caller and the account. Its errors are [wxapi.Refusal]s and
// the State's.
func (d Door) Secret(appid, secret string) (Caller, credential.Account, error) {
	keys := d.Keys.Current()
	if !keys.Any() {
		return Caller{}, credential.Account{}, wxapi.InvalidSecret.Refusal(noKeys)
	}
	name, ok := keys.Match(secret)
	if !ok {
		return Caller{}, credential.Account{}, wxapi.InvalidSecret.Refusal("the secret here is a local key of this edge, never the AppSecret")
	}
	who := Caller{Name: name, Key: name, Proven: true}
	if !wxapi.CanBeAppID(appid) {
		return who, credential.Account{}, wxapi.InvalidAppID.Refusal("")
	}
	who.AppID = appid
	account, err := d.State.Account(appid)
	return who, account, err
}

// UserRequest has what a caller of a path under /sns/ presents in the query.
type UserRequest struct {
	Path                 string
	AppID, Secret, Token string
	Refreshes            bool // there is a refresh_token
}

// User admits a caller that presents a local key, as bearer token or in the place of the
// AppSecret. It also lets through a caller with a user's OAuth token, which the broker
// has to judge. Its errors are those of Secret.
func (d Door) User(r *http.Request, request UserRequest) (Caller, error) {
	name, bearer := d.bearer(r)
	switch {
	case bearer:
		return Caller{Name: name, Key: name, Proven: true}, nil
	case request.AppID == "" && (request.Path == wxapi.PathCode || request.Secret != ""):
		return Caller{}, wxapi.MissingAppID.Refusal("")
	case request.Path == wxapi.PathCode && request.Secret == "":
		return Caller{}, wxapi.MissingSecret.Refusal("")
	case request.Secret != "":
		who, _, err := d.Secret(request.AppID, request.Secret)
		return who, err
	case !d.Keys.Current().Any():
		return Caller{}, wxapi.InvalidCredential.Refusal(noKeys)
	case request.Token == "" && !request.Refreshes:
		return Caller{}, wxapi.MissingToken.Refusal("")
	case wxapi.CanBeAppID(request.AppID):
		return Caller{AppID: request.AppID}, nil
	}
	return Caller{}, nil
}
