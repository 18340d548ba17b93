package wechatsim

import (
	"fmt"
	"slices"
	"time"
)

// The scopes that a page can ask a user for.
const (
	ScopeBase     = "snsapi_base"
	ScopeUserInfo = "snsapi_userinfo"
)

// How long the values of an authorization live. The lives of the code and of the refresh
// token are in WeChat's documents, that of the token is in its answers.
const (
	codeLife    = 5 * time.Minute
	oauthLife   = 7200 * time.Second
	refreshLife = 30 * 24 * time.Hour
)

// keptAuthorizations is how many authorizations an account remembers. Values of older
// ones are answered as if they had never existed.
const keptAuthorizations = 10000

// authorization is what a user allowed an account: the code, and what it was
// exchanged for.
type authorization struct {
	user  User
	scope string

	code     string
	codeEnds time.Time

	// access tokens, the current one last. A refresh makes a new one when the current one
	// has expired. The expired ones are kept to tell 42001 from 40001.
	access      []oauthToken
	refresh     string // empty until the code is exchanged
	refreshEnds time.Time
}

type oauthToken struct {
	value string
	ends  time.Time
}

// Authorize lets a user open a page of an account's and agree to its scope, and
// returns the code that WeChat appends to the page's address. The error says what
// is wrong with user or scope, or that there is no such account.
func (s *Sim) Authorize(appid string, u User, scope string) (code string, err error) {
	switch {
	case scope != ScopeBase && scope != ScopeUserInfo:
		return "", fmt.Errorf("wechatsim: no scope %q: %s or %s", scope, ScopeBase, ScopeUserInfo)
	case !known(u.OpenID):
		return "", fmt.Errorf("wechatsim: %q is no openid", u.OpenID)
	}
	u.Privilege = append([]string{}, u.Privilege...) // an empty list in JSON, not null
	s.mu.Lock()
	defer s.mu.Unlock()
	a, err := s.account(appid)
	if err != nil {
		return "", err
	}
	one := &authorization{user: u, scope: scope, code: randomText(32), codeEnds: s.now().Add(codeLife)}
	if len(a.oauth) == 2*keptAuthorizations {
		a.oauth = slices.Clone(a.oauth[keptAuthorizations:]) // seldom, as with messages
	}
	a.oauth = append(a.oauth, one)
	a.users[u.OpenID] = u
	return one.code, nil
}

// IssuedOAuth returns every OAuth access token and refresh token of an account
// that the simulator still remembers, for tests that look for them where they
// must not be. It is nil for an unknown account. [Sim.Issued] has none of them.
func (s *Sim) IssuedOAuth(appid string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.accounts[appid]
	if a == nil {
		return nil
	}
	var values []string
	for _, one := range a.oauth {
		for _, token := range one.access {
			values = append(values, token.value)
		}
		if one.refresh != "" {
			values = append(values, one.refresh)
		}
	}
	return values
}

// exchange turns the code into the first tokens.
func (o *authorization) exchange(now time.Time) {
	o.access = []oauthToken{{newToken(), now.Add(oauthLife)}}
	o.refresh, o.refreshEnds = newToken(), now.Add(refreshLife)
}

// renew prolongs the access token, or makes a new one if it has expired.
func (o *authorization) renew(now time.Time) {
	current := &o.access[len(o.access)-1]
	if now.Before(current.ends) {
		current.ends = now.Add(oauthLife)
		return
	}
	o.access = append(o.access, oauthToken{newToken(), now.Add(oauthLife)})
}

// authorized returns the newest authorization that satisfies match, nil if none
// does.
func (a *account) authorized(match func(*authorization) bool) *authorization {
	for _, one := range slices.Backward(a.oauth) {
		if match(one) {
			return one
		}
	}
	return nil
}

// findOAuth looks an OAuth access token up, dead or alive. The account is nil if the
// token never existed or is forgotten.
func (s *Sim) findOAuth(value string) (a *account, one *authorization, token oauthToken) {
	for _, a = range s.accounts {
		one = a.authorized(func(o *authorization) bool {
			i := slices.IndexFunc(o.access, func(t oauthToken) bool { return t.value == value })
			if i >= 0 {
				token = o.access[i]
			}
			return i >= 0
		})
		if one != nil {
			return a, one, token
		}
	}
	return nil, nil, oauthToken{}
}
