package daemon

import (
	"encoding/json"
	"net/http"
)

// Refusal is what an error looks like on the wire. ErrCode repeats the HTTP
// status, for who looks at the body alone.
type Refusal struct {
	ErrCode int    `json:"errcode"`
	ErrMsg  string `json:"errmsg"`
}

// Refuse answers with an error.
func Refuse(w http.ResponseWriter, status int, message string) {
	Answer(w, status, Refusal{ErrCode: status, ErrMsg: message})
}

// Answer answers with JSON that nobody may keep.
func Answer(w http.ResponseWriter, status int, answer any) {
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false) // it is JSON, nosniff: a URL may keep its ampersands
	_ = encoder.Encode(answer)   //nolint:errchkjson // fails only when the caller is gone
}
