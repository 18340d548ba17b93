package httpapi

import (
	"cmp"
	"net/http"
	"strings"

	"github.com/wxbroker/wxbroker/edge/internal/audit"
	"github.com/wxbroker/wxbroker/pkg/credential"
)

type tokenAnswer struct {
	Token string `json:"token"`
}

func (a *API) token(r *http.Request) (any, error) {
	value, err := a.reveal(r, audit.Token, credential.AccessToken)
	return tokenAnswer{value.Reveal()}, err
}

type ticketAnswer struct {
	Ticket string `json:"ticket"`
}

func (a *API) ticket(r *http.Request) (any, error) {
	value, err := a.reveal(r, audit.Ticket, credential.JSAPITicket)
	return ticketAnswer{value.Reveal()}, err
}

// reveal returns a live credential to a caller that presents a local key.
func (a *API) reveal(r *http.Request, action audit.Action, kind credential.Kind) (value credential.Secret, err error) {
	entry := audit.Entry{Action: action, Kind: kind}
	defer func() { a.audit(r, entry, err) }()
	if entry.LocalKey, err = a.unlock(r, handsOut); err != nil {
		return credential.Secret{}, err
	}
	p, err := readParameters(r)
	if err != nil {
		return credential.Secret{}, err
	}
	appid, err := a.State.AppID(p.appid, kind)
	entry.AppID = cmp.Or(appid, p.appid)
	if err != nil {
		return credential.Secret{}, err
	}
	value, _, err = a.State.Reveal(appid, kind)
	return value, err
}

// audit tells what came of a request that takes a local key.
func (a *API) audit(r *http.Request, entry audit.Entry, err error) {
	a.audited(r, entry, statusOf(err), err)
}

func (a *API) audited(r *http.Request, entry audit.Entry, status int, err error) {
	entry.Address, entry.Status = r.RemoteAddr, status
	if err != nil {
		entry.Reason = err.Error()
	}
	a.Audit(entry)
}

// What a path does that takes a local key.
const (
	handsOut    = "hands out credentials"
	callsWeChat = "calls WeChat"
)

// unlock returns the name of the local key that the caller of a path presents.
// Such a path does something that not everybody may have it do.
func (a *API) unlock(r *http.Request, does string) (name string, err error) {
	keys := a.Keys.Current()
	if !keys.Any() {
		return "", refuse(http.StatusForbidden,
			"this path %s, and this edge has no local key to protect it with: give it one with --local-key-file", does)
	}
	name, ok := a.bearer(r)
	if !ok {
		return "", refuse(http.StatusUnauthorized,
			"this path %s: present a local key of this edge as Authorization: Bearer KEY", does)
	}
	return name, nil
}

// bearer returns the name of the local key that is presented as RFC 6750 has
// it.
func (a *API) bearer(r *http.Request) (name string, ok bool) {
	scheme, presented, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	name, ok = a.Keys.Current().Match(strings.TrimLeft(presented, " ")) // RFC 9110 has one space or more
	return name, ok && strings.EqualFold(scheme, "Bearer")
}
