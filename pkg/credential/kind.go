package credential

import (
	"slices"

	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// Kind says what a credential is for.
type Kind string

// The kinds, named as WeChat names them.
const (
	AccessToken  Kind = "access_token"
	JSAPITicket  Kind = "jsapi_ticket"
	WXCardTicket Kind = "wx_card_ticket"
)

// kinds has every kind once. A new one is a constant, a row, a name in the protocol,
// and the way that it is fetched.
var kinds = []struct {
	kind Kind
	wire wxbrokerv1.CredentialKind
	// ticket is WeChat's type of a ticket, which the configuration uses too; "" for
	// what is none.
	ticket string
	grant  Grant // by which an app may have it
}{
	{AccessToken, wxbrokerv1.CredentialKind_CREDENTIAL_KIND_ACCESS_TOKEN, "", Token},
	{JSAPITicket, wxbrokerv1.CredentialKind_CREDENTIAL_KIND_JSAPI_TICKET, "jsapi", Sign},
	{WXCardTicket, wxbrokerv1.CredentialKind_CREDENTIAL_KIND_WX_CARD_TICKET, "wx_card", Sign},
}

// Kinds returns every kind, the token first.
func Kinds() []Kind {
	all := make([]Kind, len(kinds))
	for i, row := range kinds {
		all[i] = row.kind
	}
	return all
}

// TicketTypes returns WeChat's types of tickets.
func TicketTypes() []string {
	var types []string
	for _, row := range kinds {
		if row.ticket != "" {
			types = append(types, row.ticket)
		}
	}
	return types
}

// TicketType returns WeChat's type of a ticket, "" for what is none.
func (k Kind) TicketType() string {
	for _, row := range kinds {
		if row.kind == k {
			return row.ticket
		}
	}
	return ""
}

// TicketOfType returns the kind of a ticket of that type of WeChat's, false where
// there is none.
func TicketOfType(name string) (Kind, bool) {
	for _, row := range kinds {
		if row.ticket == name && name != "" {
			return row.kind, true
		}
	}
	return "", false
}

// Grant returns the grant by which an app may have it, "" for none.
func (k Kind) Grant() Grant {
	for _, row := range kinds {
		if row.kind == k {
			return row.grant
		}
	}
	return ""
}

// IsKnown reports whether it is one of the kinds.
func (k Kind) IsKnown() bool { return slices.Contains(Kinds(), k) }

// Wire returns the kind as the protocol names it.
func (k Kind) Wire() wxbrokerv1.CredentialKind {
	for _, row := range kinds {
		if row.kind == k {
			return row.wire
		}
	}
	return wxbrokerv1.CredentialKind_CREDENTIAL_KIND_UNSPECIFIED
}

// KindFromWire is the reverse of Wire; it knows no kind newer than itself.
func KindFromWire(w wxbrokerv1.CredentialKind) (Kind, bool) {
	for _, row := range kinds {
		if row.wire == w {
			return row.kind, true
		}
	}
	return "", false
}
