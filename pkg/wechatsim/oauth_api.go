package wechatsim

import (
	"net/http"
	"strings"
	"time"
)

// isSNS says whether a path is one of those that act for a user.
func isSNS(path string) bool { return strings.HasPrefix(path, "/sns/") }

// refuseSNS words a refusal as these paths do, with a comma before the id:
// {"errcode":40163,"errmsg":"code been used, rid: 64343c80-6120b833-7c86616b"}.
// Source: https://developers.weixin.qq.com/community/develop/doc/00064cc13e82c8466fbfd680959400
func refuseSNS(code int, now time.Time) answer {
	return refuseSaying(code, messages[code]+",", now)
}

// oauthAnswer is the success of both calls that hand out OAuth tokens.
type oauthAnswer struct {
	Token     string    `json:"access_token"`
	ExpiresIn expiresIn `json:"expires_in"`
	Refresh   string    `json:"refresh_token"`
	OpenID    string    `json:"openid"`
	Scope     string    `json:"scope"`
	Snapshot  int       `json:"is_snapshotuser,omitempty"`
	UnionID   string    `json:"unionid,omitempty"`
}

func (o *authorization) answer() oauthAnswer {
	token := o.access[len(o.access)-1]
	return oauthAnswer{
		Token:     token.value,
		ExpiresIn: expiresIn{left: oauthLife}, // after both calls the token has its whole life left
		Refresh:   o.refresh,
		OpenID:    o.user.OpenID,
		Scope:     o.scope,
	}
}

// oauthToken answers GET /sns/oauth2/access_token: a code works once and for five
// minutes. The allow-list does not apply. WeChat's documents do not say whether it does
// (see the package's comment).
// Source: https://developers.weixin.qq.com/doc/service/api/webdev/access/api_snsaccesstoken.html
func (s *Sim) oauthToken(c *call) answer {
	if c.method != http.MethodGet {
		return refuseSNS(codeRequireGET, c.now)
	}
	if c.query.Get("grant_type") != "authorization_code" {
		return refuseSNS(codeInvalidGrantType, c.now)
	}
	a, refusal := s.checkSecret(c.query.Get("appid"), c.query.Get("secret"))
	if a == nil {
		return refuseSNS(refusal, c.now)
	}
	code := c.query.Get("code")
	if code == "" {
		return refuseSNS(codeCodeMissing, c.now)
	}
	one := a.authorized(func(o *authorization) bool { return o.code == code })
	switch {
	case one == nil:
		return refuseSNS(codeInvalidCode, c.now) // also for another account's code
	case one.refresh != "":
		return refuseSNS(codeUsedCode, c.now)
	case !c.now.Before(one.codeEnds):
		return refuseSNS(codeCodeExpired, c.now)
	}
	one.exchange(c.now)
	body := one.answer()
	if one.user.Snapshot {
		body.Snapshot = 1
	}
	if one.scope == ScopeUserInfo {
		body.UnionID = one.user.UnionID
	}
	return grant(body)
}

// oauthRefresh answers GET /sns/oauth2/refresh_token. A live token stays the same and
// gets a new life. An expired token is followed by a new one. The refresh token stays
// the same, and its 30 days count from the exchange of the code.
// Source: https://developers.weixin.qq.com/doc/service/api/webdev/access/api_snsrefreshtoken
// and, for what becomes of the tokens,
// https://developers.weixin.qq.com/doc/oplatform/Mobile_App/WeChat_Login/Authorized_API_call_UnionID.html
func (s *Sim) oauthRefresh(c *call) answer {
	if c.method != http.MethodGet {
		return refuseSNS(codeRequireGET, c.now)
	}
	appid, refresh := c.query.Get("appid"), c.query.Get("refresh_token")
	a := s.accounts[appid]
	switch {
	case c.query.Get("grant_type") != "refresh_token":
		return refuseSNS(codeInvalidGrantType, c.now)
	case appid == "":
		return refuseSNS(codeAppIDMissing, c.now)
	case refresh == "":
		return refuseSNS(codeRefreshMissing, c.now)
	case a == nil:
		return refuseSNS(codeInvalidAppID, c.now)
	}
	one := a.authorized(func(o *authorization) bool { return o.refresh == refresh })
	switch {
	case one == nil:
		return refuseSNS(codeInvalidRefresh, c.now)
	case !c.now.Before(one.refreshEnds):
		return refuseSNS(codeRefreshExpired, c.now)
	}
	one.renew(c.now)
	return grant(one.answer())
}

// oauthUserInfo answers GET /sns/userinfo. Texts come in one language only,
// whatever lang asks for.
// Source: https://developers.weixin.qq.com/doc/service/api/webdev/access/api_snsuserinfo.html
func (s *Sim) oauthUserInfo(c *call) answer {
	one, refusal := s.oauthBearer(c)
	switch {
	case one == nil:
		return refusal
	case one.scope != ScopeUserInfo:
		return refuseSNS(codeUnauthorized, c.now)
	}
	u := one.user
	u.Snapshot = false // only the answers with tokens have it
	return grant(u)
}

// oauthCheck answers GET /sns/auth.
// Source: https://developers.weixin.qq.com/doc/service/api/webdev/access/api_snsauth
func (s *Sim) oauthCheck(c *call) answer {
	one, refusal := s.oauthBearer(c)
	if one == nil {
		return refusal
	}
	return grant(granted)
}

// oauthBearer returns the authorization whose live token and openid a call
// carries, or why the call is refused. An account's own token is none of these.
func (s *Sim) oauthBearer(c *call) (*authorization, answer) {
	value := c.query.Get("access_token")
	a, one, token := s.findOAuth(value)
	code := codeOK
	switch openid := c.query.Get("openid"); {
	case c.method != http.MethodGet:
		code = codeRequireGET
	case value == "":
		code = codeTokenMissing
	case !tokenForm.MatchString(value):
		code = codeMalformedToken
	case a == nil:
		code = codeInvalidToken
	case !c.now.Before(token.ends):
		code = codeTokenExpired
	case openid == "":
		code = codeOpenIDMissing
	case openid != one.user.OpenID:
		code = codeInvalidOpenID
	}
	if code != codeOK {
		return nil, refuseSNS(code, c.now)
	}
	return one, answer{}
}
