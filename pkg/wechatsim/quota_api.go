package wechatsim

import (
	"encoding/json"
	"net/http"
	"strings"
)

// plenty is what WeChat reports where nothing is limited here: the API has no
// daily quota, or no limit to calls in a short time.
const plenty = 1000000

// dailyQuotas says which quota limits the calls of a path. It has every API but those
// under /sns/, whose quotas WeChat does not tell. Forced refreshes have no path of their
// own, so WeChat's answer never shows how many of them are left.
var dailyQuotas = map[string]func(Settings) (name string, limit int){
	PathToken:       func(set Settings) (string, int) { return quotaClassic, set.ClassicQuota },
	PathStableToken: func(set Settings) (string, int) { return quotaStable, set.StableQuota },
	PathTicket:      func(set Settings) (string, int) { return quotaTicket, set.TicketQuota },
	PathDomainIP:    noQuota,
	PathCallbackIP:  noQuota,

	PathQuota:             noQuota,
	PathClearQuota:        noQuota,
	PathClearQuotaByToken: noQuota,

	PathTemplateSend: func(set Settings) (string, int) { return quotaTemplate, set.TemplateQuota },
	PathCustomSend:   noQuota,
	PathUserInfo:     noQuota,
	PathUserSummary:  noQuota,
	PathTextCheck:    noQuota,

	PathMedia:       noQuota,
	PathMediaHD:     noQuota,
	PathMediaUpload: noQuota,
}

// noQuota is for calls that are not counted by the day here: the answer says that none
// is used. WeChat limits some of them, by numbers that it tells each account.
func noQuota(Settings) (name string, limit int) { return "", unlimited }

type dailyQuota struct {
	Limit  int `json:"daily_limit"`
	Used   int `json:"used"`
	Remain int `json:"remain"`
}

type rateLimit struct {
	Calls   int `json:"call_count"`
	Seconds int `json:"refresh_second"`
}

// quotaAnswer is the success of a quota call.
type quotaAnswer struct {
	Code               int        `json:"errcode"`
	Message            string     `json:"errmsg"`
	Quota              dailyQuota `json:"quota"`
	RateLimit          rateLimit  `json:"rate_limit"`
	ComponentRateLimit rateLimit  `json:"component_rate_limit"`
}

// quota answers POST /cgi-bin/openapi/quota/get: how much of a daily quota the account
// has used. The call itself is not counted.
// Source: https://developers.weixin.qq.com/doc/service/en/api/apimanage/api_getapiquota.html
func (s *Sim) quota(c *call) answer {
	a, refusal := s.bearer(c, http.MethodPost)
	if a == nil {
		return refusal
	}
	var q struct {
		Path string `json:"cgi_path"`
	}
	if json.Unmarshal(c.body, &q) != nil {
		return refuse(codeDataFormat, c.now)
	}
	quotaOf := dailyQuotas[q.Path]
	switch {
	case !strings.HasPrefix(q.Path, "/"):
		return refuse(codeCGIPathForm, c.now)
	case strings.Contains(q.Path, "/sns/"):
		return refuse(codeCGIPathForbidden, c.now)
	case quotaOf == nil:
		return refuse(codeCGIPathUnknown, c.now)
	}
	name, limit := quotaOf(s.settings.resolved())
	if limit < 0 {
		limit = plenty
	}
	used := a.today(c.now)[name]
	rate := rateLimit{plenty, 60}
	// The rest is never below zero. A limit that was lowered during the day can be
	// below the number that is used.
	return grant(quotaAnswer{codeOK, "ok", dailyQuota{limit, used, max(limit-used, 0)}, rate, rate})
}
