package access

import (
	"context"
	"slices"
	"time"
)

// Caller is who calls, as far as it was proven when the call came in.
type Caller struct {
	// identities are what the caller proved to be: one for a token, every name of a
	// certificate. There is none under an open policy.
	identities []Identity
	// Expires is when the proof expires, zero for never.
	Expires time.Time
	// Address is where it calls from.
	Address string
	// LocalKey is the local key through which an edge was asked, as the edge says.
	LocalKey string
}

// Identity returns what the caller proved to be, for people; "" for nothing.
// Where a certificate has several names, it returns the name that an app has, else
// the first.
func (c Caller) Identity() string {
	if len(c.identities) == 0 {
		return ""
	}
	return c.identities[0].String()
}

// as returns the caller with id as the identity that it is known by.
func (c Caller) as(id Identity) Caller {
	c.identities = append([]Identity{id}, slices.DeleteFunc(slices.Clone(c.identities), func(other Identity) bool { return other == id })...)
	return c
}

// Expired reports whether the proof has expired by now.
func (c Caller) Expired(now time.Time) bool { return !c.Expires.IsZero() && !now.Before(c.Expires) }

type callKey struct{}

// call is who calls, and which app that was when the call came in.
type call struct {
	caller Caller
	app    *App
}

// WithCaller returns a context that knows who calls.
func WithCaller(ctx context.Context, caller Caller, app *App) context.Context {
	return context.WithValue(ctx, callKey{}, call{caller, app})
}

// CallerOf returns who calls. For a context that does not know, it returns a caller
// that has proven nothing.
func CallerOf(ctx context.Context) Caller {
	c, _ := ctx.Value(callKey{}).(call)
	return c.caller
}

// AppOf returns the app that calls, by the policy that was in force when the call
// came in. For a context that does not know, it returns an app that may do nothing.
func AppOf(ctx context.Context) *App {
	if c, ok := ctx.Value(callKey{}).(call); ok {
		return c.app
	}
	return new(App)
}
