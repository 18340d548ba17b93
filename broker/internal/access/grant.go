package access

import "github.com/wxbroker/wxbroker/pkg/credential"

// Grant is one thing that an app may do for its accounts.
type Grant string

// The grants.
const (
	// Sign is having the tickets.
	Sign Grant = "sign"
	// Token is having the access_token itself.
	Token Grant = "token"
	// Template, Media, OAuth and Call are calls that the broker makes for an app.
	Template Grant = "template"
	Media    Grant = "media"
	OAuth    Grant = "oauth"
	Call     Grant = "call"
	// Report is saying that WeChat refused a credential.
	Report Grant = "report"
	// Admin is what an operator does.
	Admin Grant = "admin"
)

// Grants returns all of them.
func Grants() []Grant { return []Grant{Sign, Token, Template, Media, OAuth, Call, Report, Admin} }

// kinds are the credentials that a grant hands out.
var kinds = map[Grant][]credential.Kind{
	Sign:  {credential.JSAPITicket, credential.WXCardTicket},
	Token: {credential.AccessToken},
}
