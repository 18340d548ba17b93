package httpapi

import (
	"net/http"
	"strings"

	"github.com/wxbroker/wxbroker/pkg/credential"
)

type tokenAnswer struct {
	Token string `json:"token"`
}

func (a *API) token(r *http.Request) (any, error) {
	value, err := a.reveal(r, credential.AccessToken)
	return tokenAnswer{value.Reveal()}, err
}

type ticketAnswer struct {
	Ticket string `json:"ticket"`
}

func (a *API) ticket(r *http.Request) (any, error) {
	value, err := a.reveal(r, credential.JSAPITicket)
	return ticketAnswer{value.Reveal()}, err
}

// reveal returns a live credential to a caller that presents a local key.
func (a *API) reveal(r *http.Request, kind credential.Kind) (credential.Secret, error) {
	if _, err := a.unlock(r, "hands out credentials"); err != nil {
		return credential.Secret{}, err
	}
	p, err := readParameters(r)
	if err != nil {
		return credential.Secret{}, err
	}
	return a.State.Reveal(p.appid, kind)
}

// unlock returns the name of the local key that the caller of a path presents.
// Such a path does something that not everybody may have it do.
func (a *API) unlock(r *http.Request, does string) (name string, err error) {
	if !a.Keys.Any() {
		return "", refuse(http.StatusForbidden,
			"this path %s, and this edge has no local key to protect it with: start it with --local-key-file", does)
	}
	scheme, presented, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	name, ok := a.Keys.Match(presented)
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return "", refuse(http.StatusUnauthorized,
			"this path %s: present a local key of this edge as Authorization: Bearer KEY", does)
	}
	return name, nil
}
