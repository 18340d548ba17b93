package signing

import (
	"fmt"
	"slices"
	"time"

	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/jsapi"
)

// account is an account that the broker granted, ready to sign with.
type account struct {
	credential.Account
	// signer signs with the account's current jsapi_ticket, nil without one.
	signer *jsapi.Signer
}

// allow says why page may not be signed for the account, nil if it may. Any other
// page that its signature could serve has to be allowed too.
func (a account) allow(page jsapi.PageURL) error {
	if len(a.SignHosts) == 0 {
		return nil
	}
	for reading, ok := range page.Readings() {
		switch {
		case !ok:
			return fmt.Errorf("%w: what follows &url= in this url could be read as the address of another page: escape it", ErrHost)
		case a.SignHosts.Allow(reading.Host(), reading.EffectivePort()):
		case reading == page:
			return fmt.Errorf("%w: pages of %s may not be signed for %s: its sign_hosts do not name it",
				ErrHost, a.SignHosts.Compared(page.Host(), page.EffectivePort()), a.AppID)
		default:
			return fmt.Errorf("%w: pages of %s may not be signed for %s: its sign_hosts do not name it, and a signature of this url would serve one: escape what follows &url= in it",
				ErrHost, a.SignHosts.Compared(reading.Host(), reading.EffectivePort()), a.AppID)
		}
	}
	return nil
}

// alive says why there is no live credential of that kind, nil if there is.
func (a account) alive(kind credential.Kind, now credential.Instant) error {
	c, ok := a.Credential(kind)
	switch {
	case !ok && !slices.Contains(a.Kinds, kind):
		return fmt.Errorf("%w: the broker does not grant the %s of %s to this edge", ErrNotGranted, kind, a.AppID)
	case !ok:
		return fmt.Errorf("%w: the broker has no %s of %s yet", ErrUnavailable, kind, a.AppID)
	case c.Expiry.Passed(now):
		return fmt.Errorf("%w: the %s of %s expired %v ago and the broker has sent no newer one",
			ErrUnavailable, kind, a.AppID, (-c.Expiry.Sub(now)).Round(time.Second))
	}
	return nil
}

// onlyCalls reports whether the broker makes calls for the account and grants
// no ticket of it.
func (a account) onlyCalls() bool {
	return len(a.Calls) > 0 && !slices.Contains(a.Kinds, credential.JSAPITicket) && !slices.Contains(a.Kinds, credential.WXCardTicket)
}
