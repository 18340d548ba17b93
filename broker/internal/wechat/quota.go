package wechat

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/wxbroker/wxbroker/pkg/credential"
)

// DayQuota is what WeChat counts of one API's calls today, whoever made them.
type DayQuota struct {
	DailyLimit int64 `json:"daily_limit"`
	Used       int64 `json:"used"`
	Remain     int64 `json:"remain"`
}

// Quota asks WeChat how many calls of an API it has counted today. It cannot ask
// about a forced refresh, which has no path of its own.
// Source: https://developers.weixin.qq.com/doc/service/en/api/apimanage/api_getapiquota.html.
func (c *Client) Quota(ctx context.Context, a Account, token credential.Secret, of API) (got DayQuota, err error) {
	err = c.do(ctx, call{
		appid: a.AppID, api: QuotaAPI, method: http.MethodPost,
		query: url.Values{"access_token": {token.Reveal()}},
		body: struct {
			Path string `json:"cgi_path"`
		}{paths[of]},
		secrets: secretForms(a.Secret, token),
		take: func(a answer) error {
			if a.Quota == nil {
				return errors.New("the answer has neither a quota nor an errcode")
			}
			got = *a.Quota
			return nil
		},
	})
	return got, err
}

// HasQuota reports whether WeChat can be asked for the quota of an API.
func HasQuota(of API) bool { return paths[of] != "" }

// ClearQuota makes WeChat forget today's calls of every API of the account. It
// works without a token, since the spent quota may be that of token calls. WeChat
// allows ten a month.
//
// WeChat's document has the parameters in the body
// (https://developers.weixin.qq.com/doc/service/en/api/apimanage/api_clearquotabyappsecret.html).
// Its example, and most programs that call it, have them in the query. So they are
// sent in both.
func (c *Client) ClearQuota(ctx context.Context, a Account) error {
	return c.do(ctx, call{
		appid: a.AppID, api: ClearQuotaAPI, method: http.MethodPost,
		query: url.Values{"appid": {a.AppID}, "appsecret": {a.Secret.Reveal()}},
		body: struct {
			AppID     string `json:"appid"`
			AppSecret string `json:"appsecret"`
		}{a.AppID, a.Secret.Reveal()},
		secrets: secretForms(a.Secret),
	})
}
