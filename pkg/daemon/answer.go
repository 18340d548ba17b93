package daemon

import (
	"bytes"
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"time"
)

// Refusal is the body of an error. ErrCode repeats the HTTP status, for clients that
// look at the body alone.
type Refusal struct {
	ErrCode int    `json:"errcode"`
	ErrMsg  string `json:"errmsg"`
}

// Refuse answers with an error.
func Refuse(w http.ResponseWriter, status int, message string) {
	Answer(w, status, Refusal{ErrCode: status, ErrMsg: message})
}

// RetryAfter sets the header Retry-After of an answer, to the seconds until when, at
// least 1.
func RetryAfter(h http.Header, when time.Time) {
	h.Set("Retry-After", strconv.Itoa(max(1, int(math.Ceil(time.Until(when).Seconds())))))
}

// Answer answers with JSON that no cache may keep.
func Answer(w http.ResponseWriter, status int, answer any) {
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	body := new(bytes.Buffer)
	encoder := json.NewEncoder(body)
	encoder.SetEscapeHTML(false) // with nosniff nobody takes it for HTML: a URL may keep its ampersands
	_ = encoder.Encode(answer)   //nolint:errchkjson // every answer is a struct of ours
	// No newline at the end: some SDKs for WeChat take it for part of a string.
	_, _ = w.Write(bytes.TrimSuffix(body.Bytes(), []byte("\n"))) // fails only when the caller is gone
}
