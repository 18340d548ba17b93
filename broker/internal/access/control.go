package access

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"
	"sync/atomic"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/pkg/credential"
)

// Control applies the current policy. Make it with NewControl.
type Control struct {
	policy atomic.Pointer[Policy]
	clock  credential.Clock
	// Trusts checks a client certificate against the present CAs. They may have
	// changed since its connection was made. Trusts is required where there are
	// client CAs.
	Trusts func(presented []*x509.Certificate) error
}

// NewControl returns a Control that applies p.
func NewControl(p *Policy, clock credential.Clock) *Control {
	c := &Control{clock: clock}
	c.Use(p)
	return c
}

// Use makes p the policy from now on.
func (c *Control) Use(p *Policy) { c.policy.Store(p) }

const (
	// maxToken bounds a token, in bytes. Kubernetes' have about a thousand.
	maxToken = 16 << 10
	// maxLocalKey bounds the name of an edge's local key, in bytes.
	maxLocalKey = 512
	// localKeyHeader is the header in which an edge names it.
	localKeyHeader = "wxbroker-local-key"
)

// Identify finds out who calls. Its error is a gRPC status: UNAUTHENTICATED, or
// UNAVAILABLE if a token cannot be verified just now. The Caller has what is known
// about the caller, even when there is an error.
func (c *Control) Identify(ctx context.Context) (Caller, error) {
	var caller Caller
	p, _ := peer.FromContext(ctx)
	if p != nil && p.Addr != nil {
		caller.Address = p.Addr.String()
	}
	headers, _ := metadata.FromIncomingContext(ctx)
	if names := headers.Get(localKeyHeader); len(names) > 0 {
		caller.LocalKey = readable(names[0])
	}
	policy := c.policy.Load()
	if policy.IsOpen() {
		return caller, nil
	}
	switch presented := headers.Get("authorization"); {
	case len(presented) > 1:
		return caller, unauthenticated("there are several authorization headers")
	case len(presented) == 1:
		return c.byToken(ctx, policy, caller, presented[0])
	}
	if secured := verifiedTLS(p); secured != nil {
		return c.byCertificate(caller, *secured)
	}
	return caller, unauthenticated("the caller does not say who it is: it needs a token, or a client certificate")
}

// verifiedTLS returns the TLS connection of a caller whose client certificate was
// verified by crypto/tls, nil for a caller that has presented none.
func verifiedTLS(p *peer.Peer) *tls.ConnectionState {
	if p == nil {
		return nil
	}
	secured, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(secured.State.VerifiedChains) == 0 {
		return nil
	}
	return &secured.State
}

func (c *Control) byToken(ctx context.Context, policy *Policy, caller Caller, header string) (Caller, error) {
	scheme, token, _ := strings.Cut(header, " ")
	switch {
	case !strings.EqualFold(scheme, "Bearer") || token == "":
		return caller, unauthenticated("the authorization header is not Bearer and a token")
	case len(token) > maxToken:
		return caller, unauthenticated("the token is longer than any token")
	case looksLikeJWT(token):
		if policy.kubernetes == nil {
			return caller, unauthenticated("a Kubernetes token is presented, and this broker's configuration has no section kubernetes")
		}
		id, expires, err := policy.kubernetes.Verify(ctx, token, c.clock())
		if errors.Is(err, ErrNoKeys) {
			return caller, status.Error(codes.Unavailable, "the Kubernetes token cannot be verified now: "+err.Error())
		}
		if id != "" {
			caller.identities = []Identity{id}
		}
		if err != nil {
			return caller, unauthenticated("the Kubernetes token is refused: " + err.Error())
		}
		caller.Expires = expires
		return caller, nil
	}
	id := tokenIdentity(token)
	caller.identities = []Identity{id}
	if policy.apps[id] == nil {
		return caller, unauthenticated("no app has this token")
	}
	return caller, nil
}

// byCertificate takes the names of the certificate that crypto/tls verified.
func (c *Control) byCertificate(caller Caller, state tls.ConnectionState) (Caller, error) {
	if err := c.Trusts(state.PeerCertificates); err != nil {
		return caller, unauthenticated("the client certificate is refused: " + err.Error())
	}
	chain := state.VerifiedChains[0]
	caller.identities = namesIn(chain[0])
	caller.Expires = chain[0].NotAfter
	for _, cert := range chain {
		if cert.NotAfter.Before(caller.Expires) {
			caller.Expires = cert.NotAfter
		}
	}
	if len(caller.identities) == 0 {
		return caller, unauthenticated("the client certificate has neither a SPIFFE ID nor a DNS name")
	}
	return caller, nil
}

// App returns which app the caller is by the present policy. The returned Caller has
// the identity that decided this as its first. The error is the status
// PERMISSION_DENIED, or UNAUTHENTICATED when the proof has expired since.
func (c *Control) App(caller Caller) (*App, Caller, error) {
	policy := c.policy.Load()
	if policy.IsOpen() {
		return policy.anybody, caller, nil
	}
	// A connection, too, may outlive the certificate that it was opened with.
	if caller.Expired(c.clock()) {
		return nil, caller, unauthenticated("the caller's certificate or token has expired")
	}
	var found *App
	var by Identity
	for _, id := range caller.identities {
		app := policy.apps[id]
		switch {
		case app == nil || app == found:
		case found != nil:
			return nil, caller, status.Errorf(codes.PermissionDenied, "the certificate has names of two apps, %s and %s: give each a certificate of its own", found.Name, app.Name)
		default:
			found, by = app, id
		}
	}
	if found == nil {
		return nil, caller, status.Errorf(codes.PermissionDenied, "no app has the identity %s", caller.Identity())
	}
	return found, caller.as(by), nil
}

// Named returns the app of that name by the present policy, nil if there is none.
func (c *Control) Named(name string) *App {
	policy := c.policy.Load()
	if policy.IsOpen() && name == Anybody {
		return policy.anybody
	}
	for _, app := range policy.apps {
		if app.Name == name {
			return app
		}
	}
	return nil
}

// Presents reports whether a call brings anything that could prove an identity. It is
// asked before the call itself has arrived, when no more than that can be known.
func (c *Control) Presents(ctx context.Context, headers metadata.MD) bool {
	if c.policy.Load().IsOpen() || len(headers.Get("authorization")) > 0 {
		return true
	}
	p, _ := peer.FromContext(ctx)
	return verifiedTLS(p) != nil
}

func unauthenticated(why string) error { return status.Error(codes.Unauthenticated, why) }

// readable returns a name that somebody else chose. It returns "?" if the name is not
// fit for a log line.
func readable(name string) string {
	if len(name) > maxLocalKey || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "?"
	}
	return name
}
