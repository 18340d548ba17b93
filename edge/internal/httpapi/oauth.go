package httpapi

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/wxbroker/wxbroker/edge/internal/audit"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/daemon"
	"github.com/wxbroker/wxbroker/pkg/jsapi"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

var (
	openIDNames = names{"appid": anywhere, "code": anywhere, "lang": anywhere}
	oauthNames  = names{"appid": anywhere, "redirect_uri": anywhere, "scope": anywhere, "state": anywhere}

	// codeForm bounds a code. WeChat says no more of it than that it has 512
	// bytes at most.
	codeForm = regexp.MustCompile(`^[[:graph:]]{1,512}$`)
	// stateForm is WeChat's.
	stateForm = regexp.MustCompile(`^[A-Za-z0-9]{0,128}$`)
)

type openIDAnswer struct {
	OpenID         string          `json:"openid"`
	UnionID        string          `json:"unionid,omitempty"`
	Scope          string          `json:"scope"`
	IsSnapshotUser int             `json:"is_snapshotuser"`
	UserInfo       *userInfo       `json:"userinfo,omitempty"`
	UserInfoError  *daemon.Refusal `json:"userinfo_error,omitempty"`
}

type userInfo struct {
	NickName   string   `json:"nickname"`
	Sex        int32    `json:"sex"`
	Province   string   `json:"province"`
	City       string   `json:"city"`
	Country    string   `json:"country"`
	HeadImgURL string   `json:"headimgurl"`
	Privilege  []string `json:"privilege"`
}

// openID turns a code into who its user is. The code is as good as that until
// it is used: nothing says it back.
func (a *API) openID(r *http.Request) (answer any, err error) {
	entry := audit.Entry{Action: audit.OAuth}
	defer func() { a.audit(r, entry, err) }()
	if entry.LocalKey, err = a.unlock(r, callsWeChat); err != nil {
		return nil, err
	}
	given, err := read(r, openIDNames)
	if err != nil {
		return nil, err
	}
	code, lang := given.one("code"), given.one("lang")
	switch {
	case code == "":
		return nil, refuse(http.StatusBadRequest, "code is missing: it is in the query of the page that WeChat came back to")
	case !codeForm.MatchString(code):
		return nil, refuse(http.StatusBadRequest, "code is not one that WeChat gives")
	case lang != "" && lang != "zh_CN" && lang != "zh_TW" && lang != "en":
		return nil, refuse(http.StatusBadRequest, "lang has to be zh_CN, zh_TW or en")
	}
	if entry.AppID, err = a.caller(given, credential.OAuth); err != nil {
		return nil, err
	}
	user, err := a.Calls.GetOpenID(r.Context(), entry.LocalKey, &wxbrokerv1.GetOpenIDRequest{Appid: entry.AppID, Code: code, Lang: lang})
	if err != nil {
		return nil, onlyOnce(brokerSays(err, "call"))
	}
	return openIDOf(user), nil
}

func openIDOf(user *wxbrokerv1.GetOpenIDResponse) openIDAnswer {
	answer := openIDAnswer{OpenID: user.GetOpenid(), UnionID: user.GetUnionid(), Scope: user.GetScope()}
	if user.GetIsSnapshotuser() {
		answer.IsSnapshotUser = 1
	}
	if info := user.GetUserinfo(); info != nil {
		answer.UserInfo = &userInfo{
			info.GetNickname(), info.GetSex(), info.GetProvince(), info.GetCity(), info.GetCountry(), info.GetHeadimgurl(),
			append([]string{}, info.GetPrivilege()...),
		}
	}
	if why := user.GetUserinfoRefusal(); why != nil {
		answer.UserInfoError = &daemon.Refusal{ErrCode: int(why.GetErrcode()), ErrMsg: why.GetErrmsg()}
	}
	return answer
}

// one returns the value of a parameter that may be given once.
func (given raw) one(name string) string {
	if values := given[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

type urlAnswer struct {
	URL string `json:"url"`
}

// oauthURL builds the address that a page sends its user to. WeChat wants its
// parameters in that order.
func (a *API) oauthURL(r *http.Request) (answer any, err error) {
	entry := audit.Entry{Action: audit.OAuthURL}
	defer func() { a.audit(r, entry, err) }()
	if entry.LocalKey, err = a.unlock(r, callsWeChat); err != nil {
		return nil, err
	}
	given, err := read(r, oauthNames)
	if err != nil {
		return nil, err
	}
	if err := redirectable(r, given.one("redirect_uri")); err != nil {
		return nil, err
	}
	scope, state := given.one("scope"), given.one("state")
	switch {
	case scope == "":
		scope = "snsapi_base"
	case scope != "snsapi_base" && scope != "snsapi_userinfo":
		return nil, refuse(http.StatusBadRequest, "scope has to be snsapi_base or snsapi_userinfo")
	}
	if !stateForm.MatchString(state) {
		return nil, refuse(http.StatusBadRequest, "state has a character that is no letter or digit of ASCII, or more than 128 of them, which WeChat does not take")
	}
	if entry.AppID, err = a.caller(given, credential.OAuth); err != nil {
		return nil, err
	}
	return urlAnswer{"https://open.weixin.qq.com/connect/oauth2/authorize?appid=" + entry.AppID +
		"&redirect_uri=" + url.QueryEscape(given.one("redirect_uri")) + "&response_type=code&scope=" + scope + "&state=" + state + "#wechat_redirect"}, nil
}

// redirectable says why WeChat cannot send a user back to address, nil if it
// can.
func redirectable(r *http.Request, address string) error {
	for name := range r.URL.Query() {
		if oauthNames[name] == 0 {
			return refuse(http.StatusBadRequest, "%q is no parameter of this path, and lost if it belongs to the redirect_uri: send redirect_uri=encodeURIComponent(address)", printable(name))
		}
	}
	if strings.Contains(address, "#") { // as RFC 6749 has it
		return refuse(http.StatusBadRequest, "redirect_uri has a fragment, which the code would end up before or in: leave it out, and keep in state what the page has to know")
	}
	if _, err := jsapi.ParseURL(address); err != nil {
		return refuse(http.StatusBadRequest, "redirect_uri: %v", err)
	}
	return nil
}
