package wechatsim

import (
	"cmp"
	"encoding/json"
	"net/http"
)

type clearQuotaRequest struct {
	AppID  string `json:"appid"`
	Secret string `json:"appsecret"`
}

// clearRequest reads appid and appsecret from the JSON body, as WeChat's document of
// today says. A value that is not in the body it reads from the query, as an older
// document and the example of both say. The error says that there is a body and that it
// is not such JSON.
// Source (body): https://developers.weixin.qq.com/doc/service/en/api/apimanage/api_clearquotabyappsecret.html
// Source (query): https://developers.weixin.qq.com/doc/channels/API/apimgnt/clearQuotaByAppSecret.html
func clearRequest(c *call) (clearQuotaRequest, error) {
	var q clearQuotaRequest
	var err error
	if len(c.body) > 0 {
		err = json.Unmarshal(c.body, &q)
	}
	q.AppID = cmp.Or(q.AppID, c.query.Get("appid"))
	q.Secret = cmp.Or(q.Secret, c.query.Get("appsecret"))
	return q, err
}

// clearQuotaBySecret answers POST /cgi-bin/clear_quota/v2. It needs no token, because an
// account that has used up its calls for tokens may have none.
func (s *Sim) clearQuotaBySecret(c *call) answer {
	if c.method != http.MethodPost {
		return refuse(codeRequirePOST, c.now)
	}
	q, err := clearRequest(c)
	if err != nil {
		return refuse(codeDataFormat, c.now)
	}
	a, refusal := s.owner(q.AppID, q.Secret, c)
	if a == nil {
		return refusal
	}
	return s.clearAsAsked(a, c)
}

// clearQuotaByToken answers POST /cgi-bin/clear_quota, whose body names the
// account that the token belongs to. Both calls share the times a month.
// Source: https://developers.weixin.qq.com/doc/service/openApi/clear_quota.html
func (s *Sim) clearQuotaByToken(c *call) answer {
	a, refusal := s.bearer(c, http.MethodPost)
	if a == nil {
		return refusal
	}
	var q struct {
		AppID string `json:"appid"`
	}
	switch code := c.decode(&q); {
	case code != codeOK:
		return refuse(code, c.now)
	case q.AppID == "":
		return refuse(codeAppIDMissing, c.now)
	case q.AppID != a.appid:
		return refuse(codeInvalidAppID, c.now)
	}
	return s.clearAsAsked(a, c)
}

func (s *Sim) clearAsAsked(a *account, c *call) answer {
	if !a.spendClear(s.settings.resolved().ClearsPerMonth, c.now) {
		return refuse(codeClears, c.now)
	}
	s.clearQuota(a, c.now)
	return grant(granted)
}
