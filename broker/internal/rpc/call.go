package rpc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/broker/internal/audit"
	"github.com/wxbroker/wxbroker/broker/internal/inbox"
	"github.com/wxbroker/wxbroker/broker/internal/relay"
	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// Call implements [wxbrokerv1.WeChatServiceServer].
func (c *calls) Call(stream wxbrokerv1.WeChatService_CallServer) (err error) {
	ctx := stream.Context()
	app := access.AppOf(ctx)
	told := audit.Entry{Action: "call"}
	defer func() { c.tell(ctx, told, err) }()
	leave, err := app.Enter()
	if err != nil {
		return err
	}
	defer leave()
	requests := &callRequests{ctx: ctx, came: inbox.Open(stream)}
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
		Still: func() error { return c.still(ctx, head.GetAppid(), api) },
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
		said, err := c.relay.OAuth(ctx, app, head.GetAppid(), api, call.Query, head.GetProven())
		if err != nil {
			return err
		}
		return c.answer(stream, said.Answer, bytes.NewReader(said.Raw), call.Still)
	}
	if head.GetMethod() == http.MethodPost {
		call.Body = requests
		if head.ContentLength != nil {
			call.Length = max(0, head.GetContentLength())
		}
	}
	answer, err := c.relay.Do(ctx, app, call)
	if failed := requests.failed.Load(); err != nil && failed != nil { // which knows better why the body did not come
		return *failed
	}
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	return c.answer(stream, answer, answer.Body, call.Still)
}

// mayCall returns the grant by which a call is made for an app, or says why it is
// not, whatever is in it.
func mayCall(app *access.App, head *wxbrokerv1.CallHead, api string) (access.Grant, error) {
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

// answer sends what WeChat says.
func (c *calls) answer(stream wxbrokerv1.WeChatService_CallServer, answer *wechat.Answer, from io.Reader, still func() error) error {
	head := &wxbrokerv1.CallAnswer{Status: int32(answer.Status)}
	for name, values := range answer.Header {
		for _, value := range values {
			head.Headers = append(head.Headers, &wxbrokerv1.CallHeader{Name: name, Value: audit.Printable(strings.ToValidUTF8(value, "_"))})
		}
	}
	if answer.Length >= 0 {
		head.ContentLength = &answer.Length
	}
	if err := stream.Send(&wxbrokerv1.CallResponse{Part: &wxbrokerv1.CallResponse_Answer{Answer: head}}); err != nil {
		return err
	}
	return c.copy(stream.Context(), from, still, func(piece []byte) error {
		return stream.Send(&wxbrokerv1.CallResponse{Part: &wxbrokerv1.CallResponse_Body{Body: piece}})
	})
}

// callRequests are the requests of a Call, of which none is waited for without
// end. It is the reader of the body.
type callRequests struct {
	ctx    context.Context
	came   <-chan inbox.Arrival[*wxbrokerv1.CallRequest]
	piece  []byte
	failed atomic.Pointer[error] // why the body did not come, unless its caller has left
}

// next waits for the next request.
func (r *callRequests) next(wait time.Duration) (*wxbrokerv1.CallRequest, error) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case request := <-r.came:
		return request.Message, request.Err
	case <-timer.C:
		return nil, status.Errorf(codes.DeadlineExceeded, "nothing more of the call came within %v", wait)
	case <-r.ctx.Done():
		return nil, status.FromContextError(r.ctx.Err()).Err()
	}
}

// head waits for the first request.
func (r *callRequests) head() (*wxbrokerv1.CallHead, error) {
	first, err := r.next(firstRequest)
	switch {
	case errors.Is(err, io.EOF), err == nil && first.GetHead() == nil:
		return nil, relay.Refuse(codes.InvalidArgument, "the first request has to say what to call")
	case err != nil:
		return nil, err
	}
	return first.GetHead(), nil
}

// Read reads what comes after the head.
func (r *callRequests) Read(p []byte) (int, error) {
	for len(r.piece) == 0 {
		next, err := r.next(standstill)
		if err == nil && next.GetHead() != nil {
			err = relay.Refuse(codes.InvalidArgument, "only the first request says what to call")
		}
		if err != nil {
			if !errors.Is(err, io.EOF) && r.ctx.Err() == nil {
				r.failed.Store(&err)
			}
			return 0, err // io.EOF at its end
		}
		r.piece = next.GetBody()
	}
	n := copy(p, r.piece)
	r.piece = r.piece[n:]
	return n, nil
}
