// Package admit says who may ask an edge for more than a signature: for a
// credential, or for a call to WeChat.
//
// A caller presents one of four things. Its edge's own paths take a local key as
// bearer alone ([Door.Key]). WeChat's paths take it in the place of the AppSecret
// too ([Door.Secret]), or an access_token that this edge knows or an alias of one
// ([Door.Token]); those about a page's user also a user's OAuth token, which only
// the broker can judge ([Door.User]).
//
// The rule to keep: who presents nothing that is known learns nothing, not even
// which accounts there are. Everything is refused where there is no local key.
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

// Door lets callers in. Keys may be nil: then it lets in nobody.
type Door struct {
	State *signing.State
	Keys  *localkey.Source
}

// Caller is who is let in, as far as it is known also beside an error.
type Caller struct {
	Name  string // as the audit has it
	Key   string // the name of the local key, "" where it is not known
	AppID string // "" where it is not said
	// Proven is not set where only an OAuth token of a user's may be: the broker
	// knows those.
	Proven bool
}

var (
	// ErrNoKeys is returned by [Door.Key] where nothing unlocks anything.
	ErrNoKeys = errors.New("this edge has no local key")
	// ErrNoKey is returned by [Door.Key] to who presents none.
	ErrNoKey = errors.New("no local key of this edge is presented")
)

// noKeys is ErrNoKeys for callers of WeChat's paths.
const noKeys = "this edge has no local key to let anybody in by: give it one with --local-key-file"

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

// bearer returns the name of the local key that is presented as RFC 6750 has it.
func (d Door) bearer(r *http.Request) (name string, ok bool) {
	scheme, presented, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	name, ok = d.Keys.Current().Match(strings.TrimLeft(presented, " ")) // RFC 9110 has one space or more
	return name, ok && strings.EqualFold(scheme, "Bearer")
}

// Token lets in who presents a local key as bearer, an access_token that this edge
// knows, or an alias of one. Its errors are [wxapi.Refusal]s.
func (d Door) Token(r *http.Request, token string) (Caller, error) {
	if !d.Keys.Current().Any() {
		return Caller{}, wxapi.InvalidCredential.Say(noKeys)
	}
	who, known := d.byToken(token)
	name, bearer := d.bearer(r)
	switch {
	case bearer: // and the token, if there is one, says of which account
		return Caller{name, name, who.AppID, true}, nil
	case known:
		return who, nil
	case token == "" && r.Header.Get("Authorization") == "":
		return Caller{}, wxapi.MissingToken.Say("")
	}
	return Caller{}, wxapi.InvalidCredential.Say("")
}

// byToken returns who presents an access_token that this edge knows, or an alias
// of one.
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

// Secret returns the account of an appid to who presents a local key as its
// secret. Its errors are [wxapi.Refusal]s and the State's.
func (d Door) Secret(appid, secret string) (Caller, credential.Account, error) {
	keys := d.Keys.Current()
	if !keys.Any() {
		return Caller{}, credential.Account{}, wxapi.InvalidSecret.Say(noKeys)
	}
	name, ok := keys.Match(secret)
	if !ok {
		return Caller{}, credential.Account{}, wxapi.InvalidSecret.Say("the secret here is a local key of this edge, never the AppSecret")
	}
	who := Caller{Name: name, Key: name, Proven: true}
	if !wxapi.CanBeAppID(appid) {
		return who, credential.Account{}, wxapi.InvalidAppID.Say("")
	}
	who.AppID = appid
	account, err := d.State.Account(appid)
	return who, account, err
}

// UserRequest is what a caller of the paths under /sns/ presents in the query.
type UserRequest struct {
	Path                 string
	AppID, Secret, Token string
	Refreshes            bool // there is a refresh_token
}

// User lets in who presents a local key, as bearer or as secret, or a user's
// token, which the broker has to know. Its errors are those of Secret.
func (d Door) User(r *http.Request, asked UserRequest) (Caller, error) {
	name, bearer := d.bearer(r)
	switch {
	case bearer:
		return Caller{Name: name, Key: name, Proven: true}, nil
	case asked.AppID == "" && (asked.Path == wxapi.PathCode || asked.Secret != ""):
		return Caller{}, wxapi.MissingAppID.Say("")
	case asked.Path == wxapi.PathCode && asked.Secret == "":
		return Caller{}, wxapi.MissingSecret.Say("")
	case asked.Secret != "":
		who, _, err := d.Secret(asked.AppID, asked.Secret)
		return who, err
	case !d.Keys.Current().Any():
		return Caller{}, wxapi.InvalidCredential.Say(noKeys)
	case asked.Token == "" && !asked.Refreshes:
		return Caller{}, wxapi.MissingToken.Say("")
	case wxapi.CanBeAppID(asked.AppID):
		return Caller{AppID: asked.AppID}, nil
	}
	return Caller{}, nil
}
