package httpapi

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"unicode"

	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/edge/internal/audit"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/daemon"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

var (
	openIDNames = parameterNames{"appid": anywhere, "code": anywhere, "lang": anywhere}

	// codeForm bounds a code. WeChat documents only that it has 512 bytes at most.
	codeForm = regexp.MustCompile(`^[[:graph:]]{1,512}$`)
)

type openIDAnswer struct {
	OpenID         string          `json:"openid"`
	UnionID        string          `json:"unionid,omitempty"`
	Scope          string          `json:"scope"`
	IsSnapshotUser flag            `json:"is_snapshotuser"`
	UserInfo       *userInfo       `json:"userinfo,omitempty"`
	UserInfoError  *daemon.Refusal `json:"userinfo_error,omitempty"`
}

type userInfo struct {
	NickName   string   `json:"nickname"`
	Sex        sex      `json:"sex"`
	Province   string   `json:"province"`
	City       string   `json:"city"`
	Country    string   `json:"country"`
	HeadImgURL string   `json:"headimgurl"`
	Privilege  []string `json:"privilege"`
}

// openID exchanges a code for its user's identity. A code that is not used yet is as
// good as that identity. So no answer, error or log repeats it.
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
	code, lang := given.value("code"), given.value("lang")
	switch {
	case code == "":
		return nil, refuse(http.StatusBadRequest, "code is missing: it is in the query of the page that WeChat came back to")
	case !codeForm.MatchString(code):
		return nil, refuse(http.StatusBadRequest, "code is not one that WeChat gives")
	case lang != "" && lang != "zh_CN" && lang != "zh_TW" && lang != "en":
		return nil, refuse(http.StatusBadRequest, "lang has to be zh_CN, zh_TW or en")
	}
	if entry.AppID, err = a.callAccount(given, credential.OAuth); err != nil {
		return nil, err
	}
	answer, err = a.user(r, entry, code, cmp.Or(lang, "zh_CN"))
	if err != nil {
		return nil, withoutRetry(brokerRefusal(err, "call"))
	}
	return answer, nil
}

// user exchanges a code for its user's identity, together with the details that the
// user agreed to show. Its errors are gRPC statuses.
func (a *API) user(r *http.Request, entry audit.Entry, code, lang string) (openIDAnswer, error) {
	var page struct {
		OpenID   string `json:"openid"`
		UnionID  string `json:"unionid"`
		Scope    string `json:"scope"`
		Snapshot flag   `json:"is_snapshotuser"`
		Token    string `json:"access_token"` // sealed by the broker
	}
	err := a.ask(r, entry, &wxbrokerv1.CallHead{
		Method: http.MethodGet, Path: wxapi.PathCode, Query: url.Values{"code": {code}, "grant_type": {"authorization_code"}}.Encode(),
	}, nil, &page)
	if err == nil && page.OpenID == "" {
		err = wxapi.SystemError("WeChat's answer about a page's user is not what it documents")
	}
	if err != nil {
		return openIDAnswer{}, err
	}
	answer := openIDAnswer{OpenID: page.OpenID, UnionID: page.UnionID, Scope: page.Scope, IsSnapshotUser: page.Snapshot}
	if !showsUser(page.Scope) {
		return answer, nil
	}
	var shown struct {
		userInfo

		UnionID string `json:"unionid"`
	}
	err = a.ask(r, entry, &wxbrokerv1.CallHead{
		Method: http.MethodGet, Path: wxapi.PathUserInfo,
		Query: url.Values{"access_token": {page.Token}, "openid": {page.OpenID}, "lang": {lang}}.Encode(),
	}, nil, &shown)
	if err != nil { // the code is used up, so the caller still gets the identity
		answer.UserInfoError = refusalOf(err)
		return answer, nil
	}
	answer.UserInfo = shown.clean()
	answer.UnionID = cmp.Or(answer.UnionID, shown.UnionID)
	return answer, nil
}

// showsUser reports whether the user agreed to show details, and not only to be
// recognised.
func showsUser(scope string) bool {
	for one := range strings.SplitSeq(scope, ",") {
		if strings.TrimSpace(one) == "snsapi_userinfo" {
			return true
		}
	}
	return false
}

// refusalOf returns the refusal of WeChat's or of the broker's that is in an error.
func refusalOf(err error) *daemon.Refusal {
	if wechat, ok := wxapi.RefusalIn(err); ok {
		return &daemon.Refusal{ErrCode: int(wechat.Code), ErrMsg: wechat.Message}
	}
	return &daemon.Refusal{ErrCode: int(wxapi.Busy), ErrMsg: status.Convert(err).Message()}
}

// clean returns the details without control characters, which WeChat lets through. The
// list of privileges is never nil, so that JSON has a list.
func (u userInfo) clean() *userInfo {
	for _, text := range []*string{&u.NickName, &u.Province, &u.City, &u.Country, &u.HeadImgURL} {
		*text = strings.Map(func(r rune) rune {
			if unicode.IsControl(r) {
				return -1
			}
			return r
		}, *text)
	}
	u.Privilege = append([]string{}, u.Privilege...)
	return &u
}

// flag is 1 or 0. WeChat documents a number, but other forms are accepted. The code is
// used up, and its answer must not be lost over a form.
type flag int

// UnmarshalJSON implements [json.Unmarshaler].
func (f *flag) UnmarshalJSON(raw []byte) error {
	switch strings.Trim(string(raw), `"`) {
	case "1", "true":
		*f = 1
	}
	return nil
}

// sex is 1 for a man, 2 for a woman and 0 where that is not known. JSON may have it as
// a number, or as a number in a string.
type sex int32

// UnmarshalJSON implements [json.Unmarshaler].
func (s *sex) UnmarshalJSON(raw []byte) error {
	return json.Unmarshal(bytes.Trim(raw, `"`), (*int32)(s))
}
