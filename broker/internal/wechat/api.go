package wechat

import (
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

// API names one of WeChat's calls, as logs and metrics show it.
type API string

// The calls this client makes.
const (
	TokenAPI       API = "token"
	StableTokenAPI API = "stable_token"
	TicketAPI      API = "ticket"
	ProbeAPI       API = "get_api_domain_ip"
	QuotaAPI       API = "quota"
	ClearQuotaAPI  API = "clear_quota"
	// ForceRefreshAPI is a stable_token call with force_refresh. WeChat counts it
	// here in addition to StableTokenAPI.
	ForceRefreshAPI API = "force_refresh"
	// TemplateAPI, MediaAPI, OAuthAPI and CallAPI are the calls made for apps.
	TemplateAPI API = "template"
	MediaAPI    API = "media"
	OAuthAPI    API = "oauth"
	CallAPI     API = "call"
)

// paths are the paths at which WeChat serves each API.
var paths = map[API]string{
	TokenAPI:       wxapi.PathToken,
	StableTokenAPI: wxapi.PathStableToken,
	TicketAPI:      wxapi.PathTicket,
	ProbeAPI:       wxapi.PathDomainIP,
	QuotaAPI:       wxapi.PathQuota,
	ClearQuotaAPI:  wxapi.PathClearQuota,
}

// APIAt returns the API that WeChat serves at that path, "" for any other path.
func APIAt(path string) API {
	for api, at := range paths {
		if at == path {
			return api
		}
	}
	return ""
}

// takesToken reports whether the call is made with an access_token.
func (a API) takesToken() bool {
	switch a {
	case TicketAPI, ProbeAPI, QuotaAPI, TemplateAPI, MediaAPI, CallAPI:
		return true
	default:
		return false
	}
}
