package rpc

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/broker/internal/audit"
)

// guard admits callers, and records in the audit whom it turns away.
type guard struct {
	access  *access.Control
	audit   audit.Log
	version string       // the broker's
	needs   access.Needs // of every method; nobody may call a method that is missing here
}

// tap turns away callers that present no identity at all. It does so before gRPC
// allocates anything for the call, because gRPC waits for a call's message as long as
// the caller likes.
func (g guard) tap(ctx context.Context, call *tap.Info) (context.Context, error) {
	known, _ := onConnection(ctx)
	if g.access.Presents(known, call.Header) {
		return ctx, nil
	}
	caller, err := g.access.Identify(metadata.NewIncomingContext(known, call.Header))
	g.audit.Write(access.WithCaller(known, caller, new(access.App)), audit.Entry{Action: g.needs[call.FullMethodName].Action, Outcome: audit.Refused, Err: err})
	return nil, err
}

// enter finds out who calls, and whether the caller's app may call that method at all.
// The context that it returns has the caller and its app as far as they are known,
// even when there is an error.
func (g guard) enter(ctx context.Context, method string) (context.Context, access.Need, error) {
	ctx, markUsed := onConnection(ctx)
	n, known := g.needs[method]
	stranger := new(access.App)
	caller, err := g.access.Identify(ctx)
	if err != nil {
		return access.WithCaller(ctx, caller, stranger), n, err
	}
	app, caller, err := g.access.App(caller)
	if err != nil {
		return access.WithCaller(ctx, caller, stranger), n, err
	}
	markUsed()
	ctx = access.WithCaller(ctx, caller, app)
	if !known {
		return ctx, n, status.Errorf(codes.Unimplemented, "this broker (version %s) knows no method %s: whoever calls it has another version", g.version, audit.Printable(method))
	}
	return ctx, n, n.Admit(app)
}

// unary guards a unary call. The app's grants must hold for the account that the
// request names.
func (g guard) unary(ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (answer any, err error) {
	ctx, need, err := g.enter(ctx, info.FullMethod)
	if forced, ok := request.(interface{ GetForce() bool }); ok && forced.GetForce() {
		need.Action = "force_" + need.Action
	}
	var appid string
	if named, ok := request.(interface{ GetAppid() string }); ok {
		appid = named.GetAppid()
	}
	if app := access.AppOf(ctx); err == nil && appid != "" && len(need.Grants) > 0 && !app.Serves(appid) {
		err = status.Errorf(codes.PermissionDenied, "the app %s has been granted nothing for the account %s", app.Name, audit.Printable(appid))
	}
	outcome := audit.Refused
	if err == nil {
		if answer, err = handle(ctx, request); err == nil {
			outcome = audit.Granted
		} else {
			outcome = audit.Failed
		}
	}
	if err != nil || len(need.Grants) > 0 {
		g.audit.Write(ctx, audit.Entry{Action: need.Action, AppID: audit.Printable(appid), Outcome: outcome, Err: err})
	}
	return answer, err
}

// stream guards the opening of a stream. Its handler decides what the stream may carry,
// for as long as it is open.
func (g guard) stream(service any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	ctx, need, err := g.enter(stream.Context(), info.FullMethod)
	if err != nil {
		g.audit.Write(ctx, audit.Entry{Action: need.Action, Outcome: audit.Refused, Err: err})
		return err
	}
	return handle(service, knownStream{stream, ctx})
}

// knownStream is a stream whose context has the caller.
type knownStream struct {
	grpc.ServerStream
	ctx context.Context
}

// Context implements [grpc.ServerStream].
func (s knownStream) Context() context.Context { return s.ctx }
