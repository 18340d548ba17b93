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

// nobody is for who means no account but by name.
func nobody(account) bool { return false }

// choose returns the account appid, or without one the only account that has
// what is wanted, or the only one of them that meant says is meant.
func (s *State) choose(appid string, wanted want, meant func(account) bool) (account, error) {
	accounts := s.current.Load().accounts
	if appid != "" {
		for _, a := range accounts {
			if a.AppID == appid {
				return a, nil
			}
		}
		// Before the broker is heard, any account may yet be there.
		if slices.Contains(s.appids, appid) || len(s.appids) == 0 && len(accounts) == 0 {
			return account{}, fmt.Errorf("%w: the broker has not sent anything for %s", ErrUnavailable, appid)
		}
		return account{}, fmt.Errorf("%w: appid %s", ErrAccount, appid)
	}
	if len(accounts) == 0 {
		return account{}, fmt.Errorf("%w: the broker has not sent any account", ErrUnavailable)
	}
	// An account that is wanted and has not come yet is there to be meant.
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
