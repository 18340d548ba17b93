package wxapi

// These are the paths of the APIs that broker and edge know by name. The documents are
// below https://developers.weixin.qq.com/doc/offiaccount/en/.
const (
	PathToken       = "/cgi-bin/token"
	PathStableToken = "/cgi-bin/stable_token"
	PathTicket      = "/cgi-bin/ticket/getticket"
	PathDomainIP    = "/cgi-bin/get_api_domain_ip"
	PathQuota       = "/cgi-bin/openapi/quota/get"
	PathClearQuota  = "/cgi-bin/clear_quota/v2"

	// PathTemplate: Message_Management/Template_Message_Interface.html.
	PathTemplate = "/cgi-bin/message/template/send"
	// PathMedia: Asset_Management/Get_temporary_materials.html. PathHDVoice returns a
	// voice as the JS-SDK recorded it.
	PathMedia   = "/cgi-bin/media/get"
	PathHDVoice = "/cgi-bin/media/get/jssdk"

	// PathCode and the three after it: OA_Web_Apps/Wechat_webpage_authorization.html.
	// PathCode exchanges a code for OAuth tokens. PathRenewal renews them, PathUserInfo
	// returns a user's details, and PathAuth checks a token.
	PathCode     = "/sns/oauth2/access_token"
	PathRenewal  = "/sns/oauth2/refresh_token"
	PathUserInfo = "/sns/userinfo"
	PathAuth     = "/sns/auth"
	// BelowSNS is the beginning of every path that takes a user's OAuth token and not
	// the account's access_token.
	BelowSNS = "/sns/"
)
