package rpc

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/broker/internal/audit"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// needs are those of every method: one that is not here is nobody's.
var needs = map[string]access.Need{
	wxbrokerv1.CredentialService_Watch_FullMethodName:         {Action: "watch", Grants: []access.Grant{access.Sign, access.Token, access.Template, access.Media, access.OAuth, access.Call}},
	wxbrokerv1.CredentialService_ReportInvalid_FullMethodName: {Action: "report", Grants: []access.Grant{access.Report}, Counts: true},
	// Counted by its handler: strangers to whom an edge is open come this far.
	wxbrokerv1.WeChatService_Call_FullMethodName:         {Action: "call", Grants: []access.Grant{access.Template, access.Media, access.OAuth, access.Call}},
	wxbrokerv1.OperatorService_GetStatus_FullMethodName:  {Action: "status", Grants: []access.Grant{access.Admin}},
	wxbrokerv1.OperatorService_GetQuota_FullMethodName:   {Action: "quota", Grants: []access.Grant{access.Admin}},
	wxbrokerv1.OperatorService_ClearQuota_FullMethodName: {Action: "clear_quota", Grants: []access.Grant{access.Admin}},
	wxbrokerv1.OperatorService_Refresh_FullMethodName:    {Action: "refresh", Grants: []access.Grant{access.Admin}},
	healthv1.Health_Check_FullMethodName:                 {Action: "health"},
	healthv1.Health_List_FullMethodName:                  {Action: "health"},
	healthv1.Health_Watch_FullMethodName:                 {Action: "health"}, // see polledHealth
}

// guard lets callers in, and tells the audit.
type guard struct {
	access  *access.Control
	audit   audit.Log
	version string // the broker's
}

// tap turns away callers that bring nothing by which they could be known,
// before anything of a call is kept for them: gRPC waits for a call's message
// as long as its caller likes.
func (g guard) tap(ctx context.Context, call *tap.Info) (context.Context, error) {
	known, _ := onConnection(ctx)
	if g.access.Presents(known, call.Header) {
		return ctx, nil
	}
	caller, err := g.access.Identify(metadata.NewIncomingContext(known, call.Header))
	g.audit.Write(access.WithCaller(known, caller, new(access.App)), audit.Entry{Action: needs[call.FullMethodName].Action, Outcome: audit.Refused, Err: err})
	return nil, err
}

// enter finds out who calls and whether its app may call that method at all.
// The context knows the caller and its app as far as they are known, also
// beside an error.
func (g guard) enter(ctx context.Context, method string) (context.Context, access.Need, error) {
	ctx, used := onConnection(ctx)
	n, known := needs[method]
	stranger := new(access.App)
	caller, err := g.access.Identify(ctx)
	if err != nil {
		return access.WithCaller(ctx, caller, stranger), n, err
	}
	app, caller, err := g.access.App(caller)
	if err != nil {
		return access.WithCaller(ctx, caller, stranger), n, err
	}
	used()
	ctx = access.WithCaller(ctx, caller, app)
	if !known {
		return ctx, n, status.Errorf(codes.Unimplemented, "this broker (version %s) knows no method %s: whoever calls it has another version", g.version, audit.Printable(method))
	}
	return ctx, n, n.Admit(app)
}

// unary guards a call. The account that a request names has to be one that the
// app's grants hold for.
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

// stream guards a stream. What it may carry is for its handler to say, and for
// as long as it is open.
func (g guard) stream(service any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	ctx, need, err := g.enter(stream.Context(), info.FullMethod)
	if err != nil {
		g.audit.Write(ctx, audit.Entry{Action: need.Action, Outcome: audit.Refused, Err: err})
		return err
	}
	return handle(service, guarded{stream, ctx})
}

// guarded is a stream whose context knows who calls.
type guarded struct {
	grpc.ServerStream
	ctx context.Context
}

// Context implements [grpc.ServerStream].
func (s guarded) Context() context.Context { return s.ctx }
