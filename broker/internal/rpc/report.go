package rpc

import (
	"context"
	"crypto/sha256"
	"net"
	"sync"

	"golang.org/x/time/rate"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/pkg/credential"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// Versions answers a report.
type Versions struct {
	Reported int64 // of the value that was reported
	Current  int64 // 0 while there is none that WeChat honours
}

// ReportInvalid answers a report; the .proto file says what it promises.
func (c *credentials) ReportInvalid(ctx context.Context, r *wxbrokerv1.ReportInvalidRequest) (*wxbrokerv1.ReportInvalidResponse, error) {
	if !c.reporters.allow(identityOf(ctx)) {
		return nil, status.Errorf(codes.ResourceExhausted, "more than %v reports a second from this caller", float64(reportsPerSecond))
	}
	kind, ok := credential.KindFromWire(r.GetKind())
	if !ok {
		return nil, status.Error(codes.InvalidArgument, "report: the kind of the credential is missing or unknown")
	}
	if len(r.GetValueSha256()) != sha256.Size {
		return nil, status.Errorf(codes.InvalidArgument, "report: value_sha256 has %d bytes and not %d", len(r.GetValueSha256()), sha256.Size)
	}
	versions, known, err := c.Report(ctx, r.GetAppid(), kind, [sha256.Size]byte(r.GetValueSha256()))
	switch {
	case ctx.Err() != nil:
		return nil, status.FromContextError(ctx.Err()).Err()
	case err != nil:
		return nil, status.Error(codes.Unavailable, "report: "+err.Error())
	case !known:
		return nil, status.Error(codes.NotFound, "report: no such value was handed out, or it was too long ago")
	}
	return &wxbrokerv1.ReportInvalidResponse{ReportedVersion: versions.Reported, CurrentVersion: versions.Current}, nil
}

const (
	// reportsPerSecond is how often one caller may report, in the long run, and
	// reportsAtOnce how many may come together: an edge whose app runs in many
	// threads reports the same value from each.
	reportsPerSecond = 20
	reportsAtOnce    = 200
	// maxReporters bounds how many callers are told apart.
	maxReporters = 4096
)

// reporters limits reports for each caller. The zero value is ready.
type reporters struct {
	mu      sync.Mutex
	callers map[string]*rate.Limiter
}

// allow reports whether caller may report now.
func (r *reporters) allow(caller string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	limiter, ok := r.callers[caller]
	if !ok {
		if len(r.callers) >= maxReporters {
			r.forget()
		}
		if r.callers == nil {
			r.callers = make(map[string]*rate.Limiter)
		}
		limiter = rate.NewLimiter(reportsPerSecond, reportsAtOnce)
		r.callers[caller] = limiter
	}
	return limiter.Allow()
}

// forget drops whoever has not reported for a while; when nobody has been
// quiet, everybody.
func (r *reporters) forget() {
	for caller, limiter := range r.callers {
		if limiter.Tokens() >= reportsAtOnce {
			delete(r.callers, caller)
		}
	}
	if len(r.callers) >= maxReporters {
		clear(r.callers)
	}
}

// identityOf names the caller for limits: its host, for want of more.
func identityOf(ctx context.Context) string {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return ""
	}
	if host, _, err := net.SplitHostPort(p.Addr.String()); err == nil {
		return host
	}
	return p.Addr.String() // a unix socket
}
