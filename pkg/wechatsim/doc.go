// Package wechatsim is a simulated WeChat. It has the calls of api.weixin.qq.com that
// hand out an Official Account's access_token and its tickets, and those that tell and
// clear the daily quotas of such calls. It has some of the calls that an account makes
// with its token: template messages, temporary media, a user's OAuth, and one call
// each of a few more families. And it is a judge: it says whether WeChat would accept
// a JS-SDK signature right now.
//
// It exists so that a test can ask WeChat instead of repeating the arithmetic of
// the code it tests. For that reason it imports nothing of this project, and it
// is written from WeChat's documents and from published answers of the real
// service, not from our client's idea of them:
//
//   - Access tokens: https://developers.weixin.qq.com/doc/offiaccount/Basic_Information/Get_access_token.html
//   - Stable access tokens: https://developers.weixin.qq.com/doc/offiaccount/Basic_Information/getStableAccessToken.html
//   - Tickets and signatures: https://developers.weixin.qq.com/doc/offiaccount/OA_Web_Apps/JS-SDK.html (appendix 1)
//   - Return codes: https://developers.weixin.qq.com/doc/offiaccount/Getting_Started/Global_Return_Code.html
//   - Daily quotas: https://developers.weixin.qq.com/doc/offiaccount/Message_Management/API_Call_Limits.html
//   - Asking for a quota: https://developers.weixin.qq.com/doc/service/en/api/apimanage/api_getapiquota.html
//   - Clearing the quotas: https://developers.weixin.qq.com/doc/service/en/api/apimanage/api_clearquotabyappsecret.html
//     and https://developers.weixin.qq.com/doc/service/openApi/clear_quota.html
//   - Template messages: https://developers.weixin.qq.com/doc/service/api/notify/template/api_sendtemplatemessage.html
//   - Temporary media: https://developers.weixin.qq.com/doc/service/Asset_Management/Get_temporary_materials.html
//   - A user's OAuth: https://developers.weixin.qq.com/doc/service/api/webdev/access/api_snsaccesstoken.html
//
// # What it knows
//
// A [Sim] owns accounts. Each account has two series of access tokens that know
// nothing of each other, one per endpoint ([Classic] and [Stable]), and two
// series of tickets ([JSAPI] and [WxCard]). Every value in a series has a number,
// counted from 1, a moment it was minted, an expiry of its own and a moment after
// which WeChat refuses it. That moment is earlier than the expiry if the value was
// replaced or killed. A classic call replaces the current token, and the replaced
// one lives five minutes more at most. A stable call returns the current token
// until its last minutes. A ticket is sticky in the same way.
//
// Each account has a count of today's calls for each of its quotas. WeChat's days
// and months turn at midnight in China. The account can ask for a count
// ([PathQuota]) and, ten times a month, clear all of them ([PathClearQuota] and
// [PathClearQuotaByToken] together).
//
// Each account remembers the template messages it sent and holds the media that
// users or it itself sent, for three days. A user who agreed to a page
// ([Sim.Authorize]) gives the account a code. The account exchanges it for OAuth
// tokens of that user, which have nothing in common with the account's own. An openid
// or template_id exists if it has the form [A-Za-z0-9_-]{1,64} and does not begin with
// "unknown". Everybody follows the account, except users for whom
// [Sim.SetSubscribed] says otherwise.
//
// # What a test can do to it
//
// [Settings] holds every number; [Sim.Change] alters them while the simulator
// runs. [Sim.Inject] makes calls fail: error codes, lost answers, hung or reset
// connections, bodies that are no JSON. [Sim.RotateToken], [Sim.ForceToken],
// [Sim.KillToken] and their like do what other people do to an account without telling
// us. [Sim.AddMedia] makes a download of any size; [Generated] returns its bytes.
// [Sim.Verify], [Sim.TokenAlive] and [Sim.TicketAlive] judge. [Sim.Count],
// [Sim.State], [Sim.Messages] and [Sim.Events] tell what happened. Everything may be
// called at any time from any goroutine.
//
// # Time
//
// The only clock is [Config.Now]. The simulator starts no goroutine and sets no
// timer except inside a request that a fault told to wait, so it works in a
// testing/synctest bubble over any connection, and a week passes in no time.
//
// # Where it is not WeChat
//
// Nothing documents which check comes first when several would fail, or which
// failing calls count against a quota. Here a call counts once the caller has
// proved itself (right secret and allowed address, or a live token). WeChat limits
// calls per minute as well. The simulator does not: a test injects 45011 for that. What
// [PathQuota] says of such limits is made up. The page's domain is not compared with
// the account's registered domains.
//
// The allow-list guards the calls for the account's own tokens and
// [PathClearQuota], nothing else. WeChat's page on it
// (https://developers.weixin.qq.com/doc/oplatform/developers/basic_func/ip_whitelist)
// reads as if an Official Account's guarded every call made with the AppSecret or
// an access_token. Its older documents name the calls for tokens alone, and people
// exchange OAuth codes from addresses that are not on it
// (https://github.com/w7corp/easywechat/issues/1331).
//
// The document of an upload names its result media_id, and so does the simulator;
// people have met thumb_media_id for a thumb.
package wechatsim
