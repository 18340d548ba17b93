package credential

import (
	"testing"

	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// TestKinds: every kind of the protocol is a row, and whatever names a kind names one.
func TestKinds(t *testing.T) {
	for number, name := range wxbrokerv1.CredentialKind_name {
		kind, ok := KindFromWire(wxbrokerv1.CredentialKind(number))
		if ok != (number != 0) || ok && int32(kind.Wire()) != number {
			t.Errorf("%s is the kind %q, %v", name, kind, ok)
		}
	}
	for _, kind := range Kinds() {
		if !kind.IsKnown() || kind.Wire() == wxbrokerv1.CredentialKind_CREDENTIAL_KIND_UNSPECIFIED {
			t.Errorf("%s is not known, or has no name in the protocol", kind)
		}
		if got, ok := TicketOfType(kind.TicketType()); ok != (kind != AccessToken) || ok && got != kind {
			t.Errorf("%s is a ticket of the type %q, which is %q, %v", kind, kind.TicketType(), got, ok)
		}
	}
	if Kind("contact").IsKnown() || Kind("").IsKnown() || Kind("contact").TicketType() != "" {
		t.Error("a kind of another version is known")
	}
	if kind, ok := TicketOfType("wx_pay"); ok {
		t.Errorf("%s", kind)
	}
}
