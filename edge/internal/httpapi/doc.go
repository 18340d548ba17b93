// Package httpapi is the edge's HTTP API for pages and the apps behind them. It has
// the edge's own paths. Package wechatapi has WeChat's paths, and gets every other
// request.
//
// Every answer is JSON, except for the empty answer to a preflight and for files. Every
// answer carries Cache-Control: no-store. An error is {"errcode": N, "errmsg": "…"}
// with a fitting HTTP status. Its errcode repeats the HTTP status, unless it is an
// errcode of WeChat's.
//
// The rule to keep: refuse a request that could mean two things, and say in the
// refusal what to send. A signature over half a URL is worse than none.
//
// docs/http-api.md describes each path, and api.go has the table of them. request.go
// reads a request, and parameters.go has what pages may send and why it is so little.
// origin.go says which pages of other origins may read an answer. ask.go lets the
// broker make small calls to WeChat.
package httpapi
