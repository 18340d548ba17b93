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

// clearRequest reads appid and appsecret from the JSON body, as today's document
// has it, and what is not there from the query, as an older one has it and the
// example of both. The error says that there is a body and it is not such JSON.
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

// clearQuotaBySecret answers POST /cgi-bin/clear_quota/v2. It needs no token,
// since whoever has used up the calls for tokens may have none.
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
	if !a.spendClear(s.settings.resolved().ClearsPerMonth, c.now) {
		return refuse(codeClears, c.now)
	}
	s.clearQuota(a, c.now)
	return grant(struct {
		Code    int    `json:"errcode"`
		Message string `json:"errmsg"`
	}{codeOK, "ok"})
}
