// Package httpapi is the edge's HTTP API for pages and the apps behind them: the
// paths that are ours. WeChat's own are package wechatapi's, to which everything
// else is handed.
//
// Every answer is JSON (that to a preflight is empty, and a file is what it is) and
// carries Cache-Control: no-store. An error is {"errcode": N, "errmsg": "…"} with a
// fitting HTTP status, which errcode repeats unless it is WeChat's.
//
// The rule to keep: a request that could mean two things is refused, and says what
// to send. Half a URL signed is worse than none.
//
// docs/http-api.md describes each path. api.go has the table of them. What may be
// in a request, and why so little, is in request.go; which pages of other origins
// may read an answer, in origin.go. What is asked of WeChat is made of the broker's
// calls (ask.go).
package httpapi
