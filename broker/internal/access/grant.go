package access

import (
	"slices"

	"github.com/wxbroker/wxbroker/pkg/credential"
)

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

// EveryAccount stands, in an app's accounts, for all that are configured.
const EveryAccount = "*"

// App is one team's program.
type App struct {
	Name       string
	Identities []Identity
	// Accounts are the appids that the grants hold for, or just EveryAccount.
	Accounts []string
	Grants   []Grant
	// PerSecond is how many calls a second the app may make, in the long run,
	// streams and an operator's calls aside.
	PerSecond int
}

// Has reports whether the app has a grant at all, for whichever account.
func (a *App) Has(g Grant) bool { return slices.Contains(a.Grants, g) }

// Serves reports whether its grants hold for that account.
func (a *App) Serves(appid string) bool {
	return a.ServesEvery() || slices.Contains(a.Accounts, appid)
}

// ServesEvery reports whether its grants hold for every account, also those
// that are yet to be configured.
func (a *App) ServesEvery() bool { return slices.Contains(a.Accounts, EveryAccount) }

// Kinds returns the kinds of credentials that the app may have.
func (a *App) Kinds() []credential.Kind {
	var may []credential.Kind
	for _, g := range a.Grants {
		may = append(may, kinds[g]...)
	}
	return may
}
