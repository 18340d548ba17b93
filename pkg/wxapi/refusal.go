package wxapi

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// statuses has, for each gRPC status, the HTTP status and the code of WeChat's that fit.
// The last row also stands for every other gRPC status.
var statuses = []struct {
	grpc codes.Code
	http int
	code Code
}{
	{codes.InvalidArgument, http.StatusBadRequest, InvalidParameter},
	{codes.OutOfRange, http.StatusRequestedRangeNotSatisfiable, InvalidParameter},
	{codes.NotFound, http.StatusNotFound, InvalidAppID},
	{codes.PermissionDenied, http.StatusForbidden, NotAuthorized}, // for as long as the grant is missing
	{codes.ResourceExhausted, http.StatusTooManyRequests, TooOften},
	{codes.FailedPrecondition, http.StatusBadGateway, Busy},
	{codes.Unavailable, http.StatusServiceUnavailable, Busy},
}

// HTTPStatus returns the HTTP status that fits a gRPC status.
func HTTPStatus(c codes.Code) int {
	for _, row := range statuses {
		if row.grpc == c {
			return row.http
		}
	}
	return http.StatusServiceUnavailable
}

// Fitting returns the code of WeChat's that fits a gRPC status.
func Fitting(c codes.Code) Code {
	for _, row := range statuses {
		if row.grpc == c {
			return row.code
		}
	}
	return Busy
}

// Refusal is WeChat's answer to a call that it refuses. The broker and the edges refuse
// in WeChat's words too, because programs that call WeChat know these.
type Refusal struct { //nolint:errname // it is not only an error: statuses and answers have it too
	Code    Code // 0 for the code that fits the status
	Message string
	Retry   time.Time // when to try again, zero where nobody knows
}

// Error implements error.
func (r Refusal) Error() string { return r.Message }

// Refusal returns the refusal with WeChat's words for the code. After them stands why, if it
// is not empty.
func (c Code) Refusal(why string) Refusal {
	message := c.Words()
	if why != "" {
		message += ": " + why
	}
	return Refusal{Code: c, Message: message}
}

// SystemError returns the gRPC status of a call that failed on its way to WeChat or
// back. It has WeChat's words for such a failure, and the reason after them.
func SystemError(format string, args ...any) error {
	return Busy.Refusal(fmt.Sprintf(format, args...)).Status(codes.Unavailable)
}

// Status returns a gRPC status with the refusal in its details.
func (r Refusal) Status(c codes.Code) error {
	r.Code = cmp.Or(r.Code, Fitting(c))
	detail := &wxbrokerv1.Refusal{Errcode: int32(r.Code), Errmsg: r.Message}
	if !r.Retry.IsZero() {
		detail.RetryTime = timestamppb.New(r.Retry)
	}
	message := fmt.Sprintf("%s (errcode %d)", r.Message, r.Code)
	s, err := status.New(c, message).WithDetails(detail)
	if err != nil { // never: the code is an error's and the detail a message
		return status.Error(c, message)
	}
	return s.Err()
}

// Refuse returns the gRPC status of a call that WeChat refused at now, with this code
// and these words.
func (c Code) Refuse(words string, now time.Time) error {
	class := c.Class()
	return Refusal{c, Quote(words), class.Retry(now)}.Status(c.Status(class))
}

// maxQuoted bounds a quotation of WeChat's words, in bytes.
const maxQuoted = 200

// Quote makes WeChat's words fit for a log line or an error. It bounds their length and
// removes control characters.
func Quote(words string) string {
	words = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(words, "?"))
	if len(words) > maxQuoted {
		words = strings.ToValidUTF8(words[:maxQuoted], "") + "…"
	}
	return words
}

// RefusalIn returns the refusal in the details of a status. It returns false where there
// is none. Then the status's message is not in WeChat's words.
func RefusalIn(err error) (Refusal, bool) {
	for _, detail := range status.Convert(err).Details() {
		if in, ok := detail.(*wxbrokerv1.Refusal); ok {
			r := Refusal{Code: Code(in.GetErrcode()), Message: in.GetErrmsg()}
			if in.GetRetryTime().IsValid() {
				r.Retry = in.GetRetryTime().AsTime()
			}
			return r, true
		}
	}
	return Refusal{}, false
}
