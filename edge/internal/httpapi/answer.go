package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/wxbroker/wxbroker/edge/internal/signing"
)

// refusal is an error that the caller is told as it is.
type refusal struct {
	status  int
	message string
}

func (r *refusal) Error() string { return r.message }

func refuse(status int, format string, args ...any) error {
	return &refusal{status, fmt.Sprintf(format, args...)}
}

// errorAnswer is what an error looks like on the wire.
type errorAnswer struct {
	ErrCode int    `json:"errcode"`
	ErrMsg  string `json:"errmsg"`
}

// retryAfter is when a caller that was told 503 may ask again, in seconds:
// about how long an edge needs to find its broker again.
const retryAfter = "5"

// failure returns the status and the answer for err.
func failure(w http.ResponseWriter, err error) (int, any) {
	status := http.StatusBadRequest
	var known *refusal
	switch {
	case errors.As(err, &known):
		status = known.status
		if status == http.StatusUnauthorized { // RFC 9110 wants to hear how
			w.Header().Set("WWW-Authenticate", "Bearer")
		}
	case errors.Is(err, signing.ErrHost):
		status = http.StatusForbidden
	case errors.Is(err, signing.ErrUnavailable):
		status = http.StatusServiceUnavailable
		w.Header().Set("Retry-After", retryAfter)
	}
	return status, errorAnswer{ErrCode: status, ErrMsg: err.Error()}
}

func send(w http.ResponseWriter, status int, answer any) {
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false) // it is JSON, nosniff: a URL may keep its ampersands
	_ = encoder.Encode(answer)   // fails only when the caller is gone
}
