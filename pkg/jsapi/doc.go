// Package jsapi signs pages for WeChat's JS-SDK, and does nothing else: no
// I/O, no state but what a [Signer] is made from, standard library only.
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
// Because nothing is escaped, whoever may choose N or S freely chooses U as
// well: with N = "x&timestamp=1&url=https://evil.example/?" one page's
// signature is another's. So a [Signer] takes a URL only as a [PageURL], and
// refuses a nonce or a timestamp of another form than WeChat's own. The plain
// [Signature] checks nothing.
//
// Source: https://developers.weixin.qq.com/doc/offiaccount/OA_Web_Apps/JS-SDK.html
package jsapi
