package credential

import (
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
var kinds = []kindRow{
	{AccessToken, wxbrokerv1.CredentialKind_CREDENTIAL_KIND_ACCESS_TOKEN, "", Token},
	{JSAPITicket, wxbrokerv1.CredentialKind_CREDENTIAL_KIND_JSAPI_TICKET, "jsapi", Sign},
	{WXCardTicket, wxbrokerv1.CredentialKind_CREDENTIAL_KIND_WX_CARD_TICKET, "wx_card", Sign},
}

type kindRow struct {
	kind Kind
	wire wxbrokerv1.CredentialKind
	// ticket is WeChat's type of a ticket, which the configuration uses too; "" for
	// what is none.
	ticket string
	grant  Grant // by which an app may have it
}

// row returns the kind's row, the zero row for what is none of the kinds.
func (k Kind) row() kindRow {
	for _, row := range kinds {
		if row.kind == k {
			return row
		}
	}
	return kindRow{}
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
func (k Kind) TicketType() string { return k.row().ticket }

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
func (k Kind) Grant() Grant { return k.row().grant }

// IsKnown reports whether it is one of the kinds.
func (k Kind) IsKnown() bool { return k.row().kind != "" }

// Wire returns the kind as the protocol names it, UNSPECIFIED for what is none.
func (k Kind) Wire() wxbrokerv1.CredentialKind { return k.row().wire }

// KindFromWire is the reverse of Wire; it knows no kind newer than itself.
func KindFromWire(w wxbrokerv1.CredentialKind) (Kind, bool) {
	for _, row := range kinds {
		if row.wire == w {
			return row.kind, true
		}
	}
	return "", false
}
