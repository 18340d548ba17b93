// Package jsapi signs pages for WeChat's JS-SDK, and does nothing else. It does no
// I/O, has no state but that of a [Signer], and uses the standard library only.
//
// A page may call wx.config only with a signature over its own address. The
// rule is in appendix 1 of WeChat's JS-SDK guide: join
//
//	jsapi_ticket=T&noncestr=N&timestamp=S&url=U
//
// in exactly this order, with no escaping of any kind, and take SHA-1 in
// lower-case hex. U is the page's address without its fragment, byte for byte
// as location.href has it.
//
// Because nothing is escaped, whoever may choose N or S freely also chooses U: with
// N = "x&timestamp=1&url=https://evil.example/?" the signature of one page is good
// for another. So a [Signer] takes a URL only as a [PageURL], and refuses a nonce or a
// timestamp that has not WeChat's own form. The plain [Signature] checks nothing.
//
// Source: https://developers.weixin.qq.com/doc/offiaccount/OA_Web_Apps/JS-SDK.html
package jsapi
