package httpapi

import (
	"cmp"
	"errors"
	"net/http"

	"github.com/wxbroker/wxbroker/edge/internal/admit"
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

// audit records the outcome of a request that takes a local key.
func (a *API) audit(r *http.Request, entry audit.Entry, err error) {
	a.Audit(entry.Of(r, statusOf(err), err))
}

// These texts say what a path does that takes a local key.
const (
	handsOut    = "hands out credentials"
	callsWeChat = "calls WeChat"
)

// unlock returns the name of the local key that the caller of a path presents. effect
// says why the path takes a key.
func (a *API) unlock(r *http.Request, effect string) (name string, err error) {
	name, err = a.door().Key(r)
	switch {
	case errors.Is(err, admit.ErrNoKeys):
		err = refuse(http.StatusForbidden,
			"this path %s, and this edge has no local key to protect it with: give it one with --local-key-file", effect)
	case err != nil:
		err = refuse(http.StatusUnauthorized,
			"this path %s: present a local key of this edge as Authorization: Bearer KEY", effect)
	}
	return name, err
}
