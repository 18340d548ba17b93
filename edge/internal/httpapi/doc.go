// Package httpapi is the edge's HTTP API for pages and the apps behind them.
//
// Every answer of a path is JSON (that to a preflight is empty) and carries
// Cache-Control: no-store. An error is {"errcode": N, "errmsg": "…"} with a
// fitting HTTP status, which errcode repeats; no path answers 200 with an error.
//
// docs/http-api.md describes each path. What may be in a request, and why so
// little, is in request.go; which pages of other origins may read an answer, in
// origin.go.
package httpapi
