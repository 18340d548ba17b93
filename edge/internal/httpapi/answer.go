package httpapi

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/wxbroker/wxbroker/edge/internal/signing"
	"github.com/wxbroker/wxbroker/pkg/daemon"
)

// refusal is an error that the caller is told as it is.
type refusal struct {
	status  int
	message string
	// errcode is WeChat's, where it is WeChat that refuses, and retry when that
	// ends, if known.
	errcode int
	retry   time.Time
	// once is set where asking again may do it once more.
	once bool
}

func (r *refusal) Error() string { return r.message }

func refuse(status int, format string, args ...any) error {
	return &refusal{status: status, message: fmt.Sprintf(format, args...)}
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
	var known *refusal
	switch {
	case errors.As(err, &known) && !known.retry.IsZero():
		w.Header().Set("Retry-After", secondsUntil(known.retry))
	case known != nil && known.once: // nobody is told to repeat what may have been done
	case retryAfter[status] != "":
		w.Header().Set("Retry-After", retryAfter[status])
	}
	answer := daemon.Refusal{ErrCode: status, ErrMsg: err.Error()}
	if known != nil && known.errcode != 0 {
		answer.ErrCode = known.errcode
	}
	return status, answer
}

// secondsUntil is for a Retry-After.
func secondsUntil(when time.Time) string {
	return strconv.Itoa(max(1, int(math.Ceil(time.Until(when).Seconds()))))
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
