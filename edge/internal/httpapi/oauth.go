package httpapi

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/wxbroker/wxbroker/edge/internal/audit"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/jsapi"
)

var oauthNames = parameterNames{"appid": anywhere, "redirect_uri": anywhere, "scope": anywhere, "state": anywhere}

// stateForm is the form of a state that WeChat takes.
var stateForm = regexp.MustCompile(`^[A-Za-z0-9]{0,128}$`)

type urlAnswer struct {
	URL string `json:"url"`
}

// oauthURL builds the address to which a page sends its user. WeChat wants the
// parameters in this order.
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
	if err := redirectable(r, given.value("redirect_uri")); err != nil {
		return nil, err
	}
	scope, state := given.value("scope"), given.value("state")
	switch {
	case scope == "":
		scope = "snsapi_base"
	case scope != "snsapi_base" && scope != "snsapi_userinfo":
		return nil, refuse(http.StatusBadRequest, "scope has to be snsapi_base or snsapi_userinfo")
	}
	if !stateForm.MatchString(state) {
		return nil, refuse(http.StatusBadRequest, "state may have up to 128 letters and digits of ASCII: WeChat takes nothing else")
	}
	if entry.AppID, err = a.callAccount(given, credential.OAuth); err != nil {
		return nil, err
	}
	return urlAnswer{"https://open.weixin.qq.com/connect/oauth2/authorize?appid=" + entry.AppID +
		"&redirect_uri=" + url.QueryEscape(given.value("redirect_uri")) + "&response_type=code&scope=" + scope + "&state=" + state + "#wechat_redirect"}, nil
}

// redirectable returns why WeChat cannot send a user back to address, nil if it can.
func redirectable(r *http.Request, address string) error {
	for name := range r.URL.Query() {
		if oauthNames[name] == 0 {
			return refuse(http.StatusBadRequest, "%q is no parameter of this path, and lost if it belongs to the redirect_uri: send redirect_uri=encodeURIComponent(address)", printable(name))
		}
	}
	if strings.Contains(address, "#") { // RFC 6749 forbids a fragment
		return refuse(http.StatusBadRequest, "redirect_uri has a fragment (#…), and WeChat would put the code before it or into it: leave it out, and put what the page has to know into state")
	}
	if _, err := jsapi.ParseURL(address); err != nil {
		return refuse(http.StatusBadRequest, "redirect_uri: %v", err)
	}
	return nil
}
