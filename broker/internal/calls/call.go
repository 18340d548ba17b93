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
		// Counted by the method itself: strangers to whom an edge is open come this far.
		wxbrokerv1.WeChatService_Call_FullMethodName: {Action: "call", Grants: []credential.Grant{credential.Template, credential.Media, credential.OAuth, credential.Call}},
	}
}

// Call implements [wxbrokerv1.WeChatServiceServer].
func (s *Service) Call(stream wxbrokerv1.WeChatService_CallServer) (err error) {
	ctx := stream.Context()
	app := access.AppOf(ctx)
	told := audit.Entry{Action: "call"}
	defer func() { s.tell(ctx, told, err) }()
	leave, err := app.Enter()
	if err != nil {
		return err
	}
	defer leave()
	requests := &reader{ctx: ctx, came: inbox.Open(stream)}
	head, err := requests.head()
	if err != nil {
		return err
	}
	told.AppID = audit.Printable(head.GetAppid())
	api, err := access.CleanAPI(head.GetPath())
	if err != nil {
		return relay.Refuse(codes.InvalidArgument, "%v", err)
	}
	told.API = api
	by, err := mayCall(app, head, api)
	if err != nil {
		return err
	}
	told.Action = string(by)
	call := relay.Call{
		AppID: head.GetAppid(), Kind: wechat.API(by), Method: head.GetMethod(), Path: api,
		ContentType: head.GetContentType(), Range: head.GetRange(), Length: -1,
		Still: func() error { return s.still(ctx, head.GetAppid(), api) },
	}
	without := "access_token"
	if access.IsOAuth(api) {
		without = "secret"
	}
	if call.Query, err = relay.CleanQuery(head.GetQuery(), without); err != nil {
		return relay.Refuse(codes.InvalidArgument, "%v", err)
	}
	if head.GetProven() { // what a stranger tries is not for the app to pay
		if err := app.Spend(); err != nil {
			return err
		}
	}
	if access.IsOAuth(api) {
		said, err := s.Relay.OAuth(ctx, app, head.GetAppid(), api, call.Query, head.GetProven())
		if err != nil {
			return err
		}
		return send(stream, said.Answer, bytes.NewReader(said.Raw), call.Still)
	}
	if head.GetMethod() == http.MethodPost {
		call.Body = requests
		if head.ContentLength != nil {
			call.Length = max(0, head.GetContentLength())
		}
	}
	answer, err := s.Relay.Do(ctx, app, call)
	if failed := requests.failed.Load(); err != nil && failed != nil { // which knows better why the body did not come
		return *failed
	}
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	return send(stream, answer, answer.Body, call.Still)
}

// mayCall returns the grant by which a call is made for an app, or says why it is
// not, whatever is in it.
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

// still says why a call is not to go on that was let in a while ago: what its
// caller may has changed.
func (s *Service) still(ctx context.Context, appid, api string) error {
	app, _, err := s.Access.App(access.CallerOf(ctx))
	switch {
	case err != nil:
		return err
	case !app.MayCall(api) || appid != "" && !app.Serves(appid):
		return relay.NotGranted(app, audit.Printable(appid), api)
	}
	return nil
}

// tell tells the audit how a stream ended.
func (s *Service) tell(ctx context.Context, e audit.Entry, err error) {
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
