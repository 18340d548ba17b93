// Package wxapi is WeChat's vocabulary, as broker and edge both speak it: where
// its APIs are (path.go), what its return codes mean and what to do about each
// (code.go), and how a refusal travels between broker and edge (refusal.go).
//
// Each fact stands in one table here. The rule to keep: codes are told apart by
// number, never by WeChat's wording, which changes.
//
// Nothing here calls WeChat. Only the broker does, with its package wechat, and
// decides by these tables; an edge answers its callers by the same ones.
package wxapi
