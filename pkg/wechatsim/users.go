package wechatsim

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
)

// User is a person who uses WeChat, as an account sees them.
type User struct {
	OpenID     string   `json:"openid"`
	UnionID    string   `json:"unionid,omitempty"` // empty: the account is bound to no open platform
	Nickname   string   `json:"nickname"`
	Sex        int      `json:"sex"` // 1 male, 2 female, 0 unknown
	Province   string   `json:"province"`
	City       string   `json:"city"`
	Country    string   `json:"country"`
	HeadImgURL string   `json:"headimgurl"`
	Privilege  []string `json:"privilege"`
	// Snapshot makes this the virtual user of a page that is open as a snapshot.
	Snapshot bool `json:"snapshot,omitempty"`
}

// nameForm is the form of an openid or a template_id. WeChat's own have 28 and 43
// characters; tests may use shorter ones.
var nameForm = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// known reports whether WeChat knows an openid or a template_id. It knows every name
// that has the form and does not begin with "unknown".
func known(name string) bool {
	return nameForm.MatchString(name) && !strings.HasPrefix(name, "unknown")
}

// SetSubscribed sets whether a user follows an account. By default everybody does. The
// error says that there is no such account or openid.
func (s *Sim) SetSubscribed(appid, openid string, subscribed bool) error {
	if !known(openid) {
		return fmt.Errorf("wechatsim: %q is no openid", openid)
	}
	what := openid + " unsubscribed"
	if subscribed {
		what = openid + " subscribed"
	}
	return s.alter(appid, what, func(a *account) {
		if subscribed {
			delete(a.unsubscribed, openid)
		} else {
			a.unsubscribed[openid] = true
		}
	})
}

// recipient returns codeOK if messages may be sent to this openid, else the code with
// which they are refused.
func (a *account) recipient(openid string) int {
	switch {
	case !known(openid):
		return codeInvalidOpenID
	case a.unsubscribed[openid]:
		return codeRequireSubscribe
	default:
		return codeOK
	}
}

// userInfo answers GET /cgi-bin/user/info. Of a user who does not follow it shows the
// openid alone. Since 2021 WeChat shows no nickname and no picture.
// Source: https://developers.weixin.qq.com/doc/service/api/usermanage/userinfo/api_userinfo
func (s *Sim) userInfo(c *call) answer {
	a, refusal := s.bearer(c, http.MethodGet)
	if a == nil {
		return refusal
	}
	openid := c.query.Get("openid")
	switch {
	case openid == "":
		return refuse(codeOpenIDMissing, c.now)
	case !known(openid):
		return refuse(codeInvalidOpenID, c.now)
	case a.unsubscribed[openid]:
		return grant(struct {
			Subscribe int    `json:"subscribe"`
			OpenID    string `json:"openid"`
		}{0, openid})
	}
	return grant(struct {
		Subscribe      int    `json:"subscribe"`
		OpenID         string `json:"openid"`
		SubscribeTime  int64  `json:"subscribe_time"`
		UnionID        string `json:"unionid,omitempty"`
		Remark         string `json:"remark"`
		GroupID        int    `json:"groupid"`
		TagIDList      []int  `json:"tagid_list"`
		SubscribeScene string `json:"subscribe_scene"`
		QRScene        int    `json:"qr_scene"`
		QRSceneStr     string `json:"qr_scene_str"`
	}{1, openid, 1382694957, a.users[openid].UnionID, "", 0, []int{}, "ADD_SCENE_QR_CODE", 98765, ""})
}
