package wechat

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/wxbroker/wxbroker/pkg/credential"
)

// Account is an Official Account, for which a token is fetched.
type Account struct {
	AppID  string
	Secret credential.Secret
}

// Grant is what WeChat handed out. Lifetime is its expires_in, which counts from
// the moment before the call. Lifetime can be zero in a value's last second.
type Grant struct {
	Value    credential.Secret
	Lifetime time.Duration
}

// Token fetches a classic access_token. Every call replaces the token at
// WeChat, which honours the one before for five more minutes.
func (c *Client) Token(ctx context.Context, a Account) (got Grant, err error) {
	err = c.do(ctx, call{
		appid: a.AppID, api: TokenAPI, method: http.MethodGet,
		query: url.Values{
			"grant_type": {"client_credential"},
			"appid":      {a.AppID},
			"secret":     {a.Secret.Reveal()},
		},
		secrets: secretForms(a.Secret),
		take:    func(a answer) (err error) { got, err = a.grant(a.AccessToken); return err },
	})
	return got, err
}

// StableToken fetches the stable access_token: the same one until its last
// five minutes, unless force makes WeChat replace it at once (at most 20 times
// a day, 30 seconds apart).
func (c *Client) StableToken(ctx context.Context, a Account, force bool) (got Grant, err error) {
	err = c.do(ctx, call{
		appid: a.AppID, api: StableTokenAPI, method: http.MethodPost,
		body: struct {
			GrantType    string `json:"grant_type"`
			AppID        string `json:"appid"`
			Secret       string `json:"secret"`
			ForceRefresh bool   `json:"force_refresh"`
		}{"client_credential", a.AppID, a.Secret.Reveal(), force},
		secrets: secretForms(a.Secret),
		take:    func(a answer) (err error) { got, err = a.grant(a.AccessToken); return err },
	})
	return got, err
}

// Ticket reads a ticket. WeChat may return the same one again.
func (c *Client) Ticket(ctx context.Context, a Account, token credential.Secret, kind credential.Kind) (got Grant, err error) {
	err = c.do(ctx, call{
		appid: a.AppID, api: TicketAPI, method: http.MethodGet,
		query:   url.Values{"access_token": {token.Reveal()}, "type": {kind.TicketType()}},
		secrets: secretForms(a.Secret, token),
		take:    func(a answer) (err error) { got, err = a.grant(a.Ticket); return err },
	})
	return got, err
}

// Probe asks WeChat whether it still honours token, with a call that changes
// nothing. Nil means yes. An [Error] of class RefusedToken means no. Any other error
// says nothing about the token.
func (c *Client) Probe(ctx context.Context, a Account, token credential.Secret) error {
	return c.do(ctx, call{
		appid: a.AppID, api: ProbeAPI, method: http.MethodGet,
		query:   url.Values{"access_token": {token.Reveal()}},
		secrets: secretForms(a.Secret, token),
	})
}
