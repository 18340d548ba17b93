// Package wechatapi is the part of the edge's HTTP API that has WeChat's own shape:
// an SDK that is pointed at an edge in place of WeChat finds it here.
//
// The access_token and tickets are answered from what the edge holds (token.go,
// ticket.go). The broker makes any other call (forward.go). The local key is what
// such a program has for an AppSecret, and what it gets for an access_token lets it
// in (package admit).
//
// The rule to keep: a program cannot tell an edge from WeChat. Answers have HTTP
// 200 whatever comes of a request, and errors WeChat's codes and words (words.go).
// A path is one that WeChat could have, or it is none of ours.
package wechatapi
