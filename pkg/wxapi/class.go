package wxapi

import (
	"time"

	"google.golang.org/grpc/codes"
)

// Class is the kind of trouble that an error means. It decides what to do about it.
type Class string

// The classes.
const (
	// Transient: WeChat is busy or unreachable, or its answer makes no sense. Try again
	// soon, at the next upstream.
	Transient Class = "transient"
	// Rate: there were too many calls in this minute.
	Rate Class = "rate"
	// Quota: the day's calls are spent.
	Quota Class = "quota"
	// Configuration: a person has to change something here or at WeChat.
	Configuration Class = "configuration"
	// Address: WeChat's allow-list lacks the address from which the call came.
	Address Class = "address"
	// Approval: an administrator of the account has to confirm the call.
	Approval Class = "approval"
	// RefusedToken: the access_token that was sent is not, or no longer, valid.
	RefusedToken Class = "refused_token"
	// Budget: the broker itself holds the call back, to stay within WeChat's
	// limits. WeChat was not asked.
	Budget Class = "budget"
)

// classes lists every class. It has the gRPC status of an app's call that WeChat refused
// in that class, for codes without a status of their own.
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

// Classes lists every class, for metrics that count by it.
func Classes() []Class {
	all := make([]Class, len(classes))
	for i, row := range classes {
		all[i] = row.class
	}
	return all
}

// status returns the gRPC status of an app's call that WeChat refused in this class.
func (c Class) status() codes.Code {
	for _, row := range classes {
		if row.class == c {
			return row.status
		}
	}
	return codes.Unavailable
}

const (
	// quotaPause is how long an API is not called whose quota is spent. It is not the
	// whole day, because somebody may clear the quota.
	quotaPause = time.Hour
	// ratePause is how long an API is not called that was called too often.
	ratePause = time.Minute
)

// Retry returns when it makes sense to repeat a call that WeChat refused in this class
// at now. It returns zero where nobody knows.
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
