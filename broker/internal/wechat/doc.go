// Package wechat calls WeChat's HTTP API for what the broker keeps: the
// access_token, classic or stable, and the tickets.
//
// It makes one request for each call and never repeats one by itself: calls
// are budgeted, and a classic token call has an effect even when its answer is
// lost. Whoever calls decides from an [Error]'s [wxapi.Class] when to try again. A
// call that failed for a reason of the host's makes the next one go to the
// next upstream.
//
// AppSecret and tokens travel in URLs and bodies, as WeChat wants it. So no
// redirect is followed, no error carries a URL, and what WeChat says is
// searched for them before it is quoted.
//
// Sources:
//   - token: https://developers.weixin.qq.com/doc/offiaccount/Basic_Information/Get_access_token.html
//   - stable token: https://developers.weixin.qq.com/doc/offiaccount/Basic_Information/getStableAccessToken.html
//   - tickets: https://developers.weixin.qq.com/doc/offiaccount/OA_Web_Apps/JS-SDK.html (appendix 1 and 4)
//   - return codes: https://developers.weixin.qq.com/doc/offiaccount/Getting_Started/Global_Return_Code.html
package wechat
