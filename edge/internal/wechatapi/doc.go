// Package wechatapi is the part of the edge's HTTP API that has WeChat's own form. It
// is for SDKs whose address of WeChat is set to an edge.
//
// The edge answers with the access_token and the tickets that it holds (token.go,
// ticket.go). The broker makes every other call (forward.go). Such a program has a
// local key in the place of the AppSecret. It gets an access_token or an alias for it,
// which admits its further calls (package admit).
//
// The rule to keep: a program cannot tell an edge from WeChat. An answer of this
// package's own has HTTP 200 even when it is an error, and errors have WeChat's codes
// and words (refusal.go). Only paths that WeChat could have are served here.
package wechatapi
