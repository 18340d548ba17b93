package signing

import (
	"crypto/sha256"
	"crypto/subtle"
	"slices"

	"github.com/wxbroker/wxbroker/pkg/credential"
)

// token is an access_token that this edge holds or held. An app that was given it
// may not know yet that it was replaced.
type token struct {
	appid  string
	hash   [sha256.Size]byte
	expiry credential.Instant
}

// remember returns the tokens that may still be presented: those of accounts, and
// older ones that have not expired. A token that WeChat refuses before its time is
// remembered until its first expiry, because an app that holds it does not know of
// that.
func remember(older []token, accounts []credential.Account, now credential.Instant) []token {
	var tokens []token
	for _, a := range accounts {
		if c, ok := a.Credential(credential.AccessToken); ok {
			tokens = append(tokens, token{a.AppID, sha256.Sum256([]byte(c.Value.Reveal())), c.Expiry})
		}
	}
	for _, t := range older {
		i := slices.IndexFunc(tokens, func(other token) bool { return other.appid == t.appid && other.hash == t.hash })
		switch {
		case i < 0 && !t.expiry.Passed(now):
			tokens = append(tokens, t)
		case i >= 0 && t.expiry.Sub(tokens[i].expiry) > 0:
			tokens[i].expiry = t.expiry
		}
	}
	return tokens
}

// TokenOf returns the account whose access_token is presented. It may be the current
// token or one that was replaced, until it expires. A token of an account whose
// access_token the broker does not grant to this edge lets nobody in. The time that
// TokenOf takes does not depend on how much of the token is right.
func (s *State) TokenOf(presented string) (appid string, ok bool) {
	hash, current, now := sha256.Sum256([]byte(presented)), s.current.Load(), s.clock.Now()
	for _, t := range current.tokens {
		if subtle.ConstantTimeCompare(hash[:], t.hash[:]) == 1 && !t.expiry.Passed(now) && current.grantsToken(t.appid) {
			appid, ok = t.appid, true
		}
	}
	return appid, ok
}

func (s *snapshot) grantsToken(appid string) bool {
	return slices.ContainsFunc(s.accounts, func(a account) bool {
		return a.AppID == appid && slices.Contains(a.Kinds, credential.AccessToken)
	})
}
