// Package httpapi is the edge's HTTP API for pages and the apps behind them.
//
// Every answer of a path of ours is JSON (that to a preflight is empty, and a
// file is what it is) and carries Cache-Control: no-store. An error is
// {"errcode": N, "errmsg": "…"} with a fitting HTTP status, which errcode
// repeats unless it is WeChat's.
//
// Paths that are WeChat's answer as WeChat does, errors with HTTP 200 included:
// wechat.go says which those are, admit.go who is let in.
//
// docs/http-api.md describes each path. What may be in a request, and why so
// little, is in request.go; which pages of other origins may read an answer, in
// origin.go. What is large goes through in pieces: flow.go has one direction,
// upload.go the other.
package httpapi
