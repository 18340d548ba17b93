package credential

import "time"

// Credential is one value that WeChat handed out.
type Credential struct {
	Kind  Kind
	Value Secret
	// Version is when the broker took the value from WeChat, milliseconds
	// since 1970 by the broker's clock, and always above the version before.
	Version int64
	// Expiry is the hard expiry: nothing is signed with the value afterwards.
	Expiry Instant
	// Replaced is when the broker means to replace the value, which WeChat then
	// honours for five minutes more at most; zero where it is good until Expiry.
	Replaced Instant
}

// copyLife is how long after a value was replaced a copy of it may be used:
// WeChat honours a replaced token for five minutes, less what it takes to say so.
const copyLife = 290 * time.Second

// CopyLife returns how much longer a copy of the value may be used by somebody who
// is not told when it is replaced. Once the value has expired it is zero or below.
func (c Credential) CopyLife(now Instant) time.Duration {
	left := c.Expiry.Sub(now)
	if !c.Replaced.IsZero() {
		left = min(left, max(0, c.Replaced.Sub(now))+copyLife)
	}
	return left
}

// Versions answers the report that WeChat refused a value.
type Versions struct {
	// Reported is the version of the value that was reported.
	Reported int64
	// Current is the version of the current value, 0 while there is none that
	// WeChat honours. If it is above Reported, there is a newer value to be used.
	// If it is the same, WeChat takes the reported value, or could not be asked, or
	// was asked less than a minute ago.
	Current int64
}

// Account is one Official Account as far as its reader may see it. It is
// immutable: whoever needs another one makes it.
type Account struct {
	AppID string
	// SignHosts are the hosts whose pages may be signed; none means any.
	SignHosts HostRules
	// Kinds are the kinds that the reader may have. For a kind without a credential
	// the broker has none just now.
	Kinds []Kind
	// Credentials holds at most one of each of Kinds.
	Credentials []Credential
	// Calls are the kinds of calls that the broker makes for the reader.
	Calls []Grant
	// AliasKey makes and recognises aliases: they stand for the access_token where
	// the reader may make calls and may not have the token. Zero without Calls.
	AliasKey Secret
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
