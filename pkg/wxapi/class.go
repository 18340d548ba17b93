package wxapi

import (
	"time"

	"google.golang.org/grpc/codes"
)

// Class says what kind of trouble an error is, and so what to do about it.
type Class string

// The classes.
const (
	// Transient: WeChat is busy, unreachable or talks nonsense. Try soon, at
	// the next upstream.
	Transient Class = "transient"
	// Rate: too many calls in this minute.
	Rate Class = "rate"
	// Quota: the day's calls are spent.
	Quota Class = "quota"
	// Configuration: a person has to change something here or at WeChat.
	Configuration Class = "configuration"
	// Address: WeChat's allow-list lacks the address it saw.
	Address Class = "address"
	// Approval: an administrator of the account has to confirm the call.
	Approval Class = "approval"
	// RefusedToken: the access_token that was sent is not, or no longer, valid.
	RefusedToken Class = "refused_token"
	// Budget: the broker itself holds the call back, to stay within WeChat's
	// limits. WeChat was not asked.
	Budget Class = "budget"
)

// classes lists every class, with the gRPC status of a call of an app's that
// WeChat refused so, where its code has none of its own.
var classes = []struct {
	class  Class
	status codes.Code
}{
	{Transient, codes.Unavailable},
	{Rate, codes.ResourceExhausted},
	{Quota, codes.ResourceExhausted},
	{Configuration, codes.InvalidArgument}, // mostly what the app sent
	{Address, codes.FailedPrecondition},
	{Approval, codes.FailedPrecondition},
	{RefusedToken, codes.FailedPrecondition},
	{Budget, codes.Unavailable},
}

// Classes lists every class, for whoever counts by it.
func Classes() []Class {
	all := make([]Class, len(classes))
	for i, row := range classes {
		all[i] = row.class
	}
	return all
}

// status returns the gRPC status of a call of an app's that WeChat refused so.
func (c Class) status() codes.Code {
	for _, row := range classes {
		if row.class == c {
			return row.status
		}
	}
	return codes.Unavailable
}

const (
	// quotaPause is how soon an API whose quota is spent is tried again:
	// somebody may have cleared it.
	quotaPause = time.Hour
	// ratePause is how long an API is not called that was called too often.
	ratePause = time.Minute
)

// Retry returns when a call makes sense again that WeChat refused in that class
// at now, zero where nobody knows.
func (c Class) Retry(now time.Time) time.Time {
	switch c {
	case Rate:
		return now.Add(ratePause)
	case Quota:
		if end := DayEnd(now); end.Before(now.Add(quotaPause)) {
			return end
		}
		return now.Add(quotaPause)
	default:
		return time.Time{}
	}
}
