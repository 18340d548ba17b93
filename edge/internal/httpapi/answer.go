package httpapi

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/wxbroker/wxbroker/edge/internal/signing"
	"github.com/wxbroker/wxbroker/pkg/daemon"
)

// refusal is an error whose message goes to the caller as it is.
type refusal struct {
	status  int
	message string
	// errcode is WeChat's, where WeChat refuses. retry is when WeChat's refusal
	// ends, zero where nobody knows.
	errcode int
	retry   time.Time
	// mayHaveActed is set where the failed request may have had its effect. A second
	// request would have it twice.
	mayHaveActed bool
}

func (r *refusal) Error() string { return r.message }

func refuse(status int, format string, args ...any) error {
	return &refusal{status: status, message: fmt.Sprintf(format, args...)}
}

// retryAfter has the Retry-After of an answer by its status, in seconds. For a 503 it
// is about how long an edge needs to find its broker again.
var retryAfter = map[int]string{http.StatusServiceUnavailable: "5", http.StatusTooManyRequests: "1"}

// failure returns the status and the answer for err.
func failure(w http.ResponseWriter, err error) (int, any) {
	status := statusOf(err)
	if status == http.StatusUnauthorized { // RFC 9110 requires the header
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	var known *refusal
	switch {
	case errors.As(err, &known) && !known.retry.IsZero():
		daemon.RetryAfter(w.Header(), known.retry)
	case known != nil && known.mayHaveActed: // no Retry-After, which would invite a repetition
	case retryAfter[status] != "":
		w.Header().Set("Retry-After", retryAfter[status])
	}
	answer := daemon.Refusal{ErrCode: status, ErrMsg: err.Error()}
	if known != nil && known.errcode != 0 {
		answer.ErrCode = known.errcode
	}
	return status, answer
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
