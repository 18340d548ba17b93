package signing

import (
	"fmt"
	"slices"

	"github.com/wxbroker/wxbroker/pkg/credential"
)

// want is what a request needs of its account.
type want struct {
	what string // in words
	has  func(account) bool
}

func ofKind(kind credential.Kind) want {
	return want{"the " + string(kind), func(a account) bool { return slices.Contains(a.Kinds, kind) }}
}

// nobody is the meant of requests in which only an appid can say which account is
// meant.
func nobody(account) bool { return false }

// choose returns the account of that appid. Without an appid it returns the only
// account that has what is wanted. If several have it, choose returns the only one
// of them for which meant is true.
func (s *State) choose(appid string, wanted want, meant func(account) bool) (account, error) {
	accounts := s.current.Load().accounts
	if appid != "" {
		for _, a := range accounts {
			if a.AppID == appid {
				return a, nil
			}
		}
		// Until the broker has sent a state, any account may still come.
		if slices.Contains(s.appids, appid) || len(s.appids) == 0 && len(accounts) == 0 {
			return account{}, fmt.Errorf("%w: the broker has not sent anything for %s", ErrUnavailable, appid)
		}
		return account{}, fmt.Errorf("%w: appid %s", ErrAccount, appid)
	}
	if len(accounts) == 0 {
		return account{}, fmt.Errorf("%w: the broker has not sent any account", ErrUnavailable)
	}
	// An account of appids that has not come yet may be the one that is meant.
	several := max(0, len(s.appids)-len(accounts))
	var able, found []account
	for _, a := range accounts {
		if !wanted.has(a) {
			continue
		}
		able = append(able, a)
		if meant(a) {
			found = append(found, a)
		}
	}
	several += len(able)
	switch {
	case several == 0:
		return account{}, fmt.Errorf("%w: the broker does not grant %s of any account to this edge", ErrNotGranted, wanted.what)
	case len(able) == 0:
		return account{}, fmt.Errorf("%w: the broker has not sent %d of the accounts, and does not grant %s of any other to this edge", ErrUnavailable, several, wanted.what)
	case several == 1:
		return able[0], nil
	case len(found) != 1:
		return account{}, fmt.Errorf("%w: there are %d accounts, say which one with appid", ErrAccount, several)
	}
	return found[0], nil
}
