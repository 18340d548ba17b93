// Package wechat calls WeChat's HTTP API. It fetches what the broker keeps: the
// access_token, classic or stable, and the tickets. It also passes on calls that
// apps make.
//
// The rule to keep: every call is sent once, and never repeated silently. Calls are
// budgeted, and a classic token call has an effect even when its answer is lost. The
// caller decides from an [Error]'s [wxapi.Class] when to try again. Only [Client.Pass]
// tries another host by itself, and only where it could not connect to the first.
//
// # How the pieces meet
//
// Calls for the keeper are in calls.go and quota.go, and client.go sends them. Calls
// for apps are in pass.go. They can be large and slow, so idle.go breaks off a call
// only when no byte moves for a while. body.go tells whether the app's own body is
// what WeChat waits for. Both kinds of call share upstreams.go. A call that failed
// because of its host makes the next call go to the next host.
//
// # Secrets
//
// The AppSecret and tokens travel in URLs and bodies, as WeChat wants it. So no
// redirect is followed, and no error carries a URL. WeChat's words are searched for
// secrets before an error quotes them (redact.go). In an answer to an app, stars
// take the place of secrets (mask.go).
//
// Sources:
//   - token: https://developers.weixin.qq.com/doc/offiaccount/Basic_Information/Get_access_token.html
//   - stable token: https://developers.weixin.qq.com/doc/offiaccount/Basic_Information/getStableAccessToken.html
//   - tickets: https://developers.weixin.qq.com/doc/offiaccount/OA_Web_Apps/JS-SDK.html (appendix 1 and 4)
//   - return codes: https://developers.weixin.qq.com/doc/offiaccount/Getting_Started/Global_Return_Code.html
package wechat
