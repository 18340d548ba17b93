package credential

import (
	"slices"

	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// Grant is one thing that an app may do for its accounts, named as in the broker's
// configuration.
type Grant string

// The grants.
const (
	// Sign is having the tickets.
	Sign Grant = "sign"
	// Token is having the access_token itself.
	Token Grant = "token"
	// Template, Media, OAuth and Call are calls that the broker makes for an app:
	// template messages, downloads of media, codes of pages and what follows from
	// them, and any other.
	Template Grant = "template"
	Media    Grant = "media"
	OAuth    Grant = "oauth"
	Call     Grant = "call"
	// Report is saying that WeChat refused a credential.
	Report Grant = "report"
	// Admin is what an operator does.
	Admin Grant = "admin"
)

// grants has every grant once.
var grants = []struct {
	grant Grant
	// calls is how the protocol names calls that the grant is for, if it is for any.
	calls wxbrokerv1.CallGrant
}{
	{Sign, 0},
	{Token, 0},
	{Template, wxbrokerv1.CallGrant_CALL_GRANT_TEMPLATE},
	{Media, wxbrokerv1.CallGrant_CALL_GRANT_MEDIA},
	{OAuth, wxbrokerv1.CallGrant_CALL_GRANT_OAUTH},
	{Call, wxbrokerv1.CallGrant_CALL_GRANT_CALL},
	{Report, 0},
	{Admin, 0},
}

// Grants returns every grant.
func Grants() []Grant {
	all := make([]Grant, len(grants))
	for i, row := range grants {
		all[i] = row.grant
	}
	return all
}

// CallGrants returns the grants for calls.
func CallGrants() []Grant {
	return slices.DeleteFunc(Grants(), func(g Grant) bool { return g.Wire() == 0 })
}

// Wire returns a grant for calls as the protocol names it.
func (g Grant) Wire() wxbrokerv1.CallGrant {
	for _, row := range grants {
		if row.grant == g {
			return row.calls
		}
	}
	return wxbrokerv1.CallGrant_CALL_GRANT_UNSPECIFIED
}

// GrantFromWire is the reverse of Wire; it knows no grant newer than itself.
func GrantFromWire(w wxbrokerv1.CallGrant) (Grant, bool) {
	for _, row := range grants {
		if row.calls == w && w != wxbrokerv1.CallGrant_CALL_GRANT_UNSPECIFIED {
			return row.grant, true
		}
	}
	return "", false
}
