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
	if !a.Keys.Any() {
		return credential.Secret{}, refuse(http.StatusForbidden,
			"this path hands out credentials, and this edge has no local key to protect it with: start it with --local-key-file")
	}
	scheme, presented, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if _, ok := a.Keys.Match(presented); !ok || !strings.EqualFold(scheme, "Bearer") {
		return credential.Secret{}, refuse(http.StatusUnauthorized,
			"this path hands out credentials: present a local key of this edge as Authorization: Bearer KEY")
	}
	p, err := readParameters(r)
	if err != nil {
		return credential.Secret{}, err
	}
	return a.State.Reveal(p.appid, kind)
}
