package credential

import wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"

// CallGrant is a kind of calls that the broker makes for an app.
type CallGrant string

// The kinds of calls, named as the grants in the broker's configuration.
const (
	Template CallGrant = "template" // template messages
	Media    CallGrant = "media"    // downloads of media
	OAuth    CallGrant = "oauth"    // codes of pages, and what follows from them
	Call     CallGrant = "call"     // any other API
)

var callsOnWire = []struct {
	grant CallGrant
	wire  wxbrokerv1.CallGrant
}{
	{Template, wxbrokerv1.CallGrant_CALL_GRANT_TEMPLATE},
	{Media, wxbrokerv1.CallGrant_CALL_GRANT_MEDIA},
	{OAuth, wxbrokerv1.CallGrant_CALL_GRANT_OAUTH},
	{Call, wxbrokerv1.CallGrant_CALL_GRANT_CALL},
}

// Wire returns the grant as the protocol names it.
func (g CallGrant) Wire() wxbrokerv1.CallGrant {
	for _, pair := range callsOnWire {
		if pair.grant == g {
			return pair.wire
		}
	}
	return wxbrokerv1.CallGrant_CALL_GRANT_UNSPECIFIED
}

// CallGrantFromWire is the reverse of Wire; it knows no grant newer than itself.
func CallGrantFromWire(w wxbrokerv1.CallGrant) (CallGrant, bool) {
	for _, pair := range callsOnWire {
		if pair.wire == w {
			return pair.grant, true
		}
	}
	return "", false
}
