package signing

import (
	"fmt"
	"slices"

	"github.com/wxbroker/wxbroker/pkg/credential"
)

// Account returns an account by name.
func (s *State) Account(appid string) (credential.Account, error) {
	if appid == "" {
		return credential.Account{}, fmt.Errorf("%w: the appid is empty", ErrAccount)
	}
	a, err := s.choose(appid, want{}, nobody)
	return a.Account, err
}

// Caller returns the account that a call is for: the one of that appid, or
// without one the only one for which the broker makes such calls. With the grant
// [credential.Call] any calls will do: which one it takes depends on the path,
// and the broker knows.
func (s *State) Caller(appid string, grant credential.CallGrant) (string, error) {
	wanted := want{string(grant) + " calls", func(a account) bool {
		return slices.Contains(a.Calls, grant) || grant == credential.Call && len(a.Calls) > 0
	}}
	a, err := s.choose(appid, wanted, nobody)
	switch {
	case err != nil:
		return "", err
	case !wanted.has(a):
		return a.AppID, fmt.Errorf("%w: the broker does not grant %s of %s to this edge", ErrNotGranted, wanted.what, a.AppID)
	}
	return a.AppID, nil
}
