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

// Caller returns the account that a call is for: the account of that appid, or
// without an appid the only account for which the broker makes such calls. For the
// grant [credential.Call] an account with any grant for calls will do. Which grant a
// call takes depends on its path, and the broker decides that.
func (s *State) Caller(appid string, grant credential.Grant) (string, error) {
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
