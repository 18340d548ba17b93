package access

import (
	"context"
	"slices"
	"time"
)

// Caller is a caller, as far as its identity was proven when the call came in.
type Caller struct {
	// identities are the proven identities: one for a token, and every name of a
	// certificate. Under an open policy there are none.
	identities []Identity
	// Expires is when the proof expires, zero for never.
	Expires time.Time
	// Address is the network address from which it calls.
	Address string
	// LocalKey is the name of the local key that was presented to an edge. The edge
	// says so, and nothing proves it.
	LocalKey string
}

// Identity returns the proven identity, for people. It is "" where nothing was proven.
// Where a certificate has several names, it returns the name that an app has, or else
// the first name.
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

// call is a caller, and the app that it was when the call came in.
type call struct {
	caller Caller
	app    *App
}

// WithCaller returns a context with the caller and its app.
func WithCaller(ctx context.Context, caller Caller, app *App) context.Context {
	return context.WithValue(ctx, callKey{}, call{caller, app})
}

// CallerOf returns the caller in a context. For a context without a caller, it returns
// one that has proven nothing.
func CallerOf(ctx context.Context) Caller {
	c, _ := ctx.Value(callKey{}).(call)
	return c.caller
}

// AppOf returns the app that calls, by the policy that was in force when the call
// came in. For a context without an app, it returns an app that may do nothing.
func AppOf(ctx context.Context) *App {
	if c, ok := ctx.Value(callKey{}).(call); ok {
		return c.app
	}
	return new(App)
}
