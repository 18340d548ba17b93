package calls

import (
	"bytes"
	"context"
	"net/http"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/broker/internal/audit"
	"github.com/wxbroker/wxbroker/broker/internal/inbox"
	"github.com/wxbroker/wxbroker/broker/internal/relay"
	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// Service is the WeChatService; the .proto file says what it promises. All fields are
// required.
type Service struct {
	wxbrokerv1.UnimplementedWeChatServiceServer
	Relay  *relay.Relay
	Access *access.Control
	Audit  audit.Log
}

// Needs are those of the service's methods.
func Needs() access.Needs {
	return access.Needs{
		// The method itself counts its calls, since strangers reach it through an edge
		// that is open to them.
		wxbrokerv1.WeChatService_Call_FullMethodName: {Action: "call", Grants: []credential.Grant{credential.Template, credential.Media, credential.OAuth, credential.Call}},
	}
}

// Call implements [wxbrokerv1.WeChatServiceServer].
func (s *Service) Call(stream wxbrokerv1.WeChatService_CallServer) (err error) {
	ctx := stream.Context()
	app := access.AppOf(ctx)
	entry := audit.Entry{Action: "call"}
	defer func() { s.writeAudit(ctx, entry, err) }()
	leave, err := app.Enter()
	if err != nil {
		return err
	}
	defer leave()
	requests := &requestReader{ctx: ctx, arrivals: inbox.Open(stream)}
	head, err := requests.head()
	if err != nil {
		return err
	}
	entry.AppID = audit.Printable(head.GetAppid())
	api, err := access.CleanAPI(head.GetPath())
	if err != nil {
		return relay.Refuse(codes.InvalidArgument, "%v", err)
	}
	entry.API = api
	by, err := mayCall(app, head, api)
	if err != nil {
		return err
	}
	entry.Action = string(by)
	call := relay.Call{
		AppID: head.GetAppid(), Kind: wechat.API(by), Method: head.GetMethod(), Path: api,
		ContentType: head.GetContentType(), Range: head.GetRange(), Length: -1,
		Recheck: func() error { return s.recheck(ctx, head.GetAppid(), api) },
	}
	without := "access_token"
	if access.IsOAuth(api) {
		without = "secret"
	}
	if call.Query, err = relay.CleanQuery(head.GetQuery(), without); err != nil {
		return relay.Refuse(codes.InvalidArgument, "%v", err)
	}
	if head.GetProven() { // a stranger's attempts do not count against the app
		if err := app.Spend(); err != nil {
			return err
		}
	}
	if access.IsOAuth(api) {
		answer, err := s.Relay.OAuth(ctx, app, head.GetAppid(), api, call.Query, head.GetProven())
		if err != nil {
			return err
		}
		return send(stream, answer.Answer, bytes.NewReader(answer.Raw), call.Recheck)
	}
	if head.GetMethod() == http.MethodPost {
		call.Body = requests
		if head.ContentLength != nil {
			call.Length = max(0, head.GetContentLength())
		}
	}
	answer, err := s.Relay.Do(ctx, app, call)
	if failure := requests.failure.Load(); err != nil && failure != nil { // the reader knows better why the body did not come
		return *failure
	}
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	return send(stream, answer, answer.Body, call.Recheck)
}

// mayCall returns the grant by which an app may make a call, or says why it may not.
// It looks at the head only, not at the query or the body.
func mayCall(app *access.App, head *wxbrokerv1.CallHead, api string) (credential.Grant, error) {
	users := access.IsOAuth(api)
	by, may := app.Admits(api)
	switch {
	case !may || !app.Serves(head.GetAppid()) && (!users || head.GetAppid() != ""):
		return "", relay.NotGranted(app, audit.Printable(head.GetAppid()), api)
	case !users && !head.GetProven():
		return "", relay.Refuse(codes.PermissionDenied, "whoever calls %s has to prove to the edge that it may", api)
	case head.GetMethod() != http.MethodGet && (head.GetMethod() != http.MethodPost || users):
		return "", relay.Refuse(codes.InvalidArgument, "the method is not one that WeChat takes at %s", api)
	}
	return by, nil
}

// recheck returns an error if a call may no longer go on. It is for calls that were
// admitted a while ago, since grants can change meanwhile.
func (s *Service) recheck(ctx context.Context, appid, api string) error {
	app, _, err := s.Access.App(access.CallerOf(ctx))
	switch {
	case err != nil:
		return err
	case !app.MayCall(api) || appid != "" && !app.Serves(appid):
		return relay.NotGranted(app, audit.Printable(appid), api)
	}
	return nil
}

// writeAudit records in the audit how a stream ended.
func (s *Service) writeAudit(ctx context.Context, e audit.Entry, err error) {
	switch {
	case err == nil:
		e.Outcome = audit.Granted
	case status.Code(err) == codes.PermissionDenied:
		e.Outcome = audit.Refused
	default:
		e.Outcome = audit.Failed
	}
	e.Err = err
	s.Audit.Write(ctx, e)
}
