package credential

// Kind says what a credential is for.
type Kind string

// The kinds, named as WeChat names them.
const (
	AccessToken  Kind = "access_token"
	JSAPITicket  Kind = "jsapi_ticket"
	WXCardTicket Kind = "wx_card_ticket"
)

// Credential is one value that WeChat handed out.
type Credential struct {
	Kind  Kind
	Value Secret
	// Version is when the broker took the value from WeChat, milliseconds
	// since 1970 by the broker's clock, and always above the version before.
	Version int64
	// Expiry is the hard expiry: nothing is signed with the value afterwards.
	Expiry Instant
}

// Account is one Official Account as far as its reader may see it. It is
// immutable: whoever needs another one makes it.
type Account struct {
	AppID string
	// SignHosts are the hosts whose pages may be signed; none means any.
	SignHosts HostRules
	// Kinds are the ones that the reader may have. A kind without a
	// credential is one that the broker has none of just now.
	Kinds []Kind
	// Credentials holds at most one of each of Kinds.
	Credentials []Credential
}

// Credential returns the account's credential of that kind.
func (a Account) Credential(kind Kind) (Credential, bool) {
	for _, c := range a.Credentials {
		if c.Kind == kind {
			return c, true
		}
	}
	return Credential{}, false
}
