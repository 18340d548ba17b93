// Package wxapi is WeChat's vocabulary, which broker and edge share: the paths of its
// APIs (path.go), the meaning of its return codes and what to do about each (code.go,
// class.go), the forms of its ids (id.go), its day (day.go), and how a refusal travels
// between broker and edge (refusal.go).
//
// Each fact is in one table here. The rule to keep: tell codes apart by their number,
// never by WeChat's wording, which changes.
//
// Nothing here calls WeChat. Only the broker does, with its package wechat. The broker
// decides by these tables, and an edge answers its callers by the same tables.
package wxapi
