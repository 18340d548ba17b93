package wechatsim

import (
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// tokenRequest is a request to either token endpoint: the classic one takes it as a
// query, the stable one as JSON.
type tokenRequest struct {
	GrantType    string `json:"grant_type"`
	AppID        string `json:"appid"`
	Secret       string `json:"secret"`
	ForceRefresh bool   `json:"force_refresh"`
}

func classicRequest(c *call) tokenRequest {
	return tokenRequest{
		GrantType: c.query.Get("grant_type"),
		AppID:     c.query.Get("appid"),
		Secret:    c.query.Get("secret"),
	}
}

func stableRequest(c *call) (tokenRequest, error) {
	var q tokenRequest
	err := json.Unmarshal(c.body, &q)
	return q, err
}

// tokenAnswer is the success of both token endpoints.
type tokenAnswer struct {
	Token     string    `json:"access_token"`
	ExpiresIn expiresIn `json:"expires_in"`
}

// classicToken answers GET /cgi-bin/token: a new token each time.
func (s *Sim) classicToken(c *call) answer {
	if c.method != http.MethodGet {
		return refuse(codeRequireGET, c.now)
	}
	q := classicRequest(c)
	a, refusal := s.authenticate(q, c)
	if a == nil {
		return refusal
	}
	set := s.settings.resolved()
	if !a.spend(quotaClassic, set.ClassicQuota, c.now) {
		return refuse(codeQuota, c.now)
	}
	fresh := s.mintClassic(a, set, c.now)
	return grant(tokenAnswer{fresh.value, expiresIn{set.TokenLifetime, set.ExpiresInString}})
}

// stableToken answers POST /cgi-bin/stable_token: the current token while it
// has more than the window left, or a new one at once when forced.
func (s *Sim) stableToken(c *call) answer {
	if c.method != http.MethodPost {
		return refuse(codeRequirePOST, c.now)
	}
	q, err := stableRequest(c)
	if err != nil {
		return refuse(codeDataFormat, c.now)
	}
	a, refusal := s.authenticate(q, c)
	if a == nil {
		return refusal
	}
	set := s.settings.resolved()
	if !a.spend(quotaStable, set.StableQuota, c.now) {
		return refuse(codeQuota, c.now)
	}
	token := a.tokens[Stable].sticky(c.now, set.StableWindow)
	tooSoon := !a.lastForced.IsZero() && c.now.Sub(a.lastForced) < set.ForceInterval
	if q.ForceRefresh && !tooSoon {
		if !a.spend(quotaForce, set.ForceQuota, c.now) {
			return refuse(codeQuota, c.now)
		}
		token = s.forceStable(a, set, c.now)
	}
	if token == nil {
		token = s.mintToken(a, Stable, set, c.now)
	}
	return grant(tokenAnswer{token.value, expiresIn{token.expires.Sub(c.now), set.ExpiresInString}})
}

// authenticate returns the account a token call is for, or why it is refused.
func (s *Sim) authenticate(q tokenRequest, c *call) (*account, answer) {
	if q.GrantType != "client_credential" {
		return nil, refuse(codeInvalidGrantType, c.now)
	}
	return s.owner(q.AppID, q.Secret, c)
}

// owner returns the account whose appid and secret a call carries, or why the
// call is refused.
func (s *Sim) owner(appid, secret string, c *call) (*account, answer) {
	a, code := s.checkSecret(appid, secret)
	switch {
	case a == nil:
		return nil, refuse(code, c.now)
	case !a.allows(c.from):
		return nil, refuseSaying(codeAddress, notAllowed(c), c.now)
	}
	return a, answer{}
}

// checkSecret returns the account with this appid and secret, or the code that
// says what is wrong.
func (s *Sim) checkSecret(appid, secret string) (*account, int) {
	a := s.accounts[appid]
	switch {
	case appid == "":
		return nil, codeAppIDMissing
	case secret == "":
		return nil, codeSecretMissing
	case a == nil:
		return nil, codeInvalidAppID
	case subtle.ConstantTimeCompare([]byte(a.secret), []byte(secret)) != 1:
		return nil, s.settings.resolved().WrongSecretCode
	}
	return a, codeOK
}

// notAllowed returns WeChat's own words, because people paste the address in them into
// the allow-list. An IPv4 caller is named in both notations.
func notAllowed(c *call) string {
	if c.from.Is4() {
		return fmt.Sprintf("invalid ip %s ipv6 ::ffff:%s, not in whitelist", c.from, c.from)
	}
	return fmt.Sprintf("invalid ip %s, not in whitelist", c.from)
}

// mintClassic replaces the classic token and lets the old one live for the
// overlap.
func (s *Sim) mintClassic(a *account, set Settings, now time.Time) *issuedValue {
	if old := a.tokens[Classic].current(); old != nil {
		old.end(now.Add(set.TokenOverlap))
		s.history.add(Event{At: now, AppID: a.appid, Kind: EventReplace, Detail: a.tokens[Classic].name, Number: old.number})
	}
	return s.mintToken(a, Classic, set, now)
}

// forceStable mints a stable token whatever the current one is like.
func (s *Sim) forceStable(a *account, set Settings, now time.Time) *issuedValue {
	a.lastForced = now
	s.replaceStable(a, now)
	return s.mintToken(a, Stable, set, now)
}

// replaceStable ends every stable token at once. A forced refresh is for tokens that
// leaked, and the token before the current one may still be in its last minutes.
func (s *Sim) replaceStable(a *account, now time.Time) {
	for _, old := range a.tokens[Stable].values {
		if old.alive(now) {
			old.end(now)
			s.history.add(Event{At: now, AppID: a.appid, Kind: EventReplace, Detail: a.tokens[Stable].name, Number: old.number})
		}
	}
}

func (s *Sim) mintToken(a *account, api TokenAPI, set Settings, now time.Time) *issuedValue {
	fresh, forgotten := a.tokens[api].mint(newToken(), now, set.TokenLifetime)
	s.tokens[fresh.value] = a
	for _, old := range forgotten {
		delete(s.tokens, old.value)
	}
	s.history.add(Event{At: now, AppID: a.appid, Kind: EventMint, Detail: a.tokens[api].name, Number: fresh.number})
	return fresh
}
