package httpapi

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/wxbroker/wxbroker/edge/internal/signing"
	"github.com/wxbroker/wxbroker/pkg/daemon"
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

// retryAfter is when a caller that was told this status may ask again, in
// seconds: 503, about how long an edge needs to find its broker again.
var retryAfter = map[int]string{http.StatusServiceUnavailable: "5", http.StatusTooManyRequests: "1"}

// failure returns the status and the answer for err.
func failure(w http.ResponseWriter, err error) (int, any) {
	status := statusOf(err)
	if status == http.StatusUnauthorized { // RFC 9110 wants to hear how
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	if seconds, ok := retryAfter[status]; ok {
		w.Header().Set("Retry-After", seconds)
	}
	return status, daemon.Refusal{ErrCode: status, ErrMsg: err.Error()}
}

func statusOf(err error) int {
	var known *refusal
	switch {
	case err == nil:
		return http.StatusOK
	case errors.As(err, &known):
		return known.status
	case errors.Is(err, signing.ErrHost), errors.Is(err, signing.ErrNotGranted):
		return http.StatusForbidden
	case errors.Is(err, signing.ErrUnavailable):
		return http.StatusServiceUnavailable
	}
	return http.StatusBadRequest
}
