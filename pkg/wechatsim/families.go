package wechatsim

import (
	"net/http"
	"slices"
	"time"
)

// A few more calls, one of each family, for programs that pass any call on. They
// check what they are sent and answer in WeChat's form; nothing comes of them.

// messageTypes are the kinds of customer service messages.
var messageTypes = []string{
	"text", "image", "voice", "video", "music", "news", "mpnews", "mpnewsarticle",
	"msgmenu", "wxcard", "miniprogrampage", "link",
}

// customSend answers POST /cgi-bin/message/custom/send. The hours and numbers in
// which WeChat allows such messages are not counted.
// Source: https://developers.weixin.qq.com/doc/service/api/customer/message/api_sendcustommessage
func (s *Sim) customSend(c *call) answer {
	a, refusal := s.bearer(c, http.MethodPost)
	if a == nil {
		return refusal
	}
	var q struct {
		ToUser string `json:"touser"`
		Type   string `json:"msgtype"`
	}
	if code := c.decode(&q); code != codeOK {
		return refuse(code, c.now)
	}
	if code := a.recipient(q.ToUser); code != codeOK {
		return refuse(code, c.now)
	}
	if !slices.Contains(messageTypes, q.Type) {
		return refuse(codeMessageType, c.now)
	}
	return grant(granted)
}

// summaryDays is how many days one call may ask for.
const summaryDays = 7

// userSummary answers POST /datacube/getusersummary for at most seven days, of which the
// last may be yesterday in China: nobody came and nobody left on any of them.
// Source: https://developers.weixin.qq.com/doc/subscription/api/wedata/user/api_getusersummary.md
func (s *Sim) userSummary(c *call) answer {
	a, refusal := s.bearer(c, http.MethodPost)
	if a == nil {
		return refusal
	}
	var q struct {
		Begin string `json:"begin_date"`
		End   string `json:"end_date"`
	}
	if code := c.decode(&q); code != codeOK {
		return refuse(code, c.now)
	}
	begin, wrongBegin := time.Parse(time.DateOnly, q.Begin)
	end, wrongEnd := time.Parse(time.DateOnly, q.End)
	if wrongBegin != nil || wrongEnd != nil {
		return refuse(codeDateFormat, c.now)
	}
	first, last := begin.Unix()/(24*60*60), end.Unix()/(24*60*60)
	if first > last || last-first >= summaryDays || last >= day(c.now) {
		return refuse(codeDateRange, c.now)
	}
	type row struct {
		Date   string `json:"ref_date"`
		Source int    `json:"user_source"`
		New    int    `json:"new_user"`
		Cancel int    `json:"cancel_user"`
	}
	list := []row{}
	for at := begin; !at.After(end); at = at.AddDate(0, 0, 1) {
		list = append(list, row{Date: at.Format(time.DateOnly)})
	}
	return grant(struct {
		List []row `json:"list"`
	}{list})
}

// textCheck answers POST /wxa/msg_sec_check, version 2: every text passes.
// Source: https://developers.weixin.qq.com/miniprogram/dev/server/API/sec-center/sec-check/api_msgseccheck
func (s *Sim) textCheck(c *call) answer {
	a, refusal := s.bearer(c, http.MethodPost)
	if a == nil {
		return refusal
	}
	var q struct {
		Content string `json:"content"`
		Version int    `json:"version"`
		Scene   int    `json:"scene"`
		OpenID  string `json:"openid"`
	}
	if code := c.decode(&q); code != codeOK {
		return refuse(code, c.now)
	}
	switch {
	case q.Content == "":
		return refuse(codeEmptyPost, c.now)
	case q.Version != 2:
		return refuse(codeInvalidArgs, c.now)
	case !known(q.OpenID):
		return refuse(codeInvalidOpenID, c.now)
	case q.Scene < 1 || q.Scene > 4:
		return refuse(codeInvalidScene, c.now)
	}
	type verdict struct {
		Suggest string `json:"suggest"`
		Label   int    `json:"label"` // 100: nothing wrong
	}
	type detail struct {
		Strategy string `json:"strategy"`
		Code     int    `json:"errcode"`
		verdict
		Probability int `json:"prob"`
	}
	pass := verdict{"pass", 100}
	return grant(struct {
		status
		Result  verdict  `json:"result"`
		Detail  []detail `json:"detail"`
		TraceID string   `json:"trace_id"`
	}{granted, pass, []detail{{"content_model", codeOK, pass, 90}}, requestID(c.now)})
}
