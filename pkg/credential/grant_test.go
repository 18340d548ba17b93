package credential

import (
	"slices"
	"testing"

	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// TestGrants: every grant for calls of the protocol is a row, and those of kinds are
// grants.
func TestGrants(t *testing.T) {
	for number, name := range wxbrokerv1.CallGrant_name {
		grant, ok := GrantFromWire(wxbrokerv1.CallGrant(number))
		if ok != (number != 0) || ok && int32(grant.Wire()) != number {
			t.Errorf("%s is the grant %q, %v", name, grant, ok)
		}
	}
	if want := []Grant{Template, Media, OAuth, Call}; !slices.Equal(CallGrants(), want) {
		t.Errorf("grants for calls %v", CallGrants())
	}
	if len(Grants()) != 8 {
		t.Errorf("grants %v", Grants())
	}
	for _, kind := range Kinds() {
		if want := map[bool]Grant{true: Token, false: Sign}[kind == AccessToken]; kind.Grant() != want {
			t.Errorf("%s comes with %q", kind, kind.Grant())
		}
	}
	if Kind("contact").Grant() != "" {
		t.Error("a kind of another version comes with a grant")
	}
}
