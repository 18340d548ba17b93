package rpc

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/broker/internal/relay"
	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// Call implements [wxbrokerv1.WeChatServiceServer].
func (c *calls) Call(stream wxbrokerv1.WeChatService_CallServer) (err error) {
	ctx := stream.Context()
	head, err := c.head(stream)
	if err != nil {
		c.tell(ctx, entry{action: "call"}, err)
		return err
	}
	app, appid := access.AppOf(ctx), printable(head.GetAppid())
	api, err := access.CleanAPI(head.GetPath())
	defer func() { c.tell(ctx, entry{action: "call", appid: appid, api: api}, err) }()
	users := access.IsOAuth(api)
	switch {
	case err != nil:
		return relay.Refuse(codes.InvalidArgument, "%v", err)
	case access.Closed(api):
		return relay.Refuse(codes.PermissionDenied, "api unauthorized: %s hands out, checks or resets credentials or quotas, and is never called for an app", api)
	case !app.MayCall(api) || !app.Serves(head.GetAppid()) && (!users || head.GetAppid() != ""):
		return relay.NotGranted(app, appid, api)
	case !users && !head.GetProven():
		return relay.Refuse(codes.PermissionDenied, "whoever calls %s has to prove to the edge that it may", api)
	case head.GetMethod() != http.MethodGet && (head.GetMethod() != http.MethodPost || users):
		return relay.Refuse(codes.InvalidArgument, "the method is not one that WeChat takes at %s", api)
	}
	call := relay.Call{
		AppID: head.GetAppid(), Kind: wechat.CallAPI, Method: head.GetMethod(), Path: api,
		ContentType: head.GetContentType(), Range: head.GetRange(), Length: -1,
	}
	without := []string{"access_token"}
	if users {
		without = []string{"secret"}
	}
	if call.Query, err = relay.CleanQuery(head.GetQuery(), without...); err != nil {
		return relay.Refuse(codes.InvalidArgument, "%v", err)
	}
	if head.GetMethod() == http.MethodPost {
		call.Body = &body{stream: stream}
		if head.ContentLength != nil {
			call.Length = head.GetContentLength()
		}
	}
	if head.GetProven() { // what a stranger tries is not for the app to pay
		if err := app.Spend(); err != nil {
			return err
		}
	}
	if users {
		said, err := c.relay.OAuth(ctx, app, head.GetAppid(), api, call.Query, head.GetProven())
		if err != nil {
			return err
		}
		said.Length = int64(len(said.Raw))
		return c.answer(stream, said.Answer, bytes.NewReader(said.Raw))
	}
	answer, err := c.relay.Do(ctx, app, call)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	return c.answer(stream, answer, answer.Body)
}

// head waits for the first request.
func (c *calls) head(stream wxbrokerv1.WeChatService_CallServer) (*wxbrokerv1.CallHead, error) {
	type received struct {
		*wxbrokerv1.CallRequest
		err error
	}
	came := make(chan received, 1)
	go func() {
		first, err := stream.Recv()
		came <- received{first, err}
	}()
	timer := time.NewTimer(firstRequest)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil, status.Errorf(codes.DeadlineExceeded, "nothing was said within %v of what to call", firstRequest)
	case first := <-came:
		switch {
		case errors.Is(first.err, io.EOF), first.err == nil && first.GetHead() == nil:
			return nil, relay.Refuse(codes.InvalidArgument, "the first request has to say what to call")
		case first.err != nil:
			return nil, first.err
		}
		return first.GetHead(), nil
	}
}

// answer sends what WeChat says.
func (c *calls) answer(stream wxbrokerv1.WeChatService_CallServer, answer *wechat.Answer, from io.Reader) error {
	head := &wxbrokerv1.CallAnswer{Status: int32(answer.Status)}
	for name, values := range answer.Header {
		for _, value := range values {
			head.Headers = append(head.Headers, &wxbrokerv1.CallHeader{Name: name, Value: value})
		}
	}
	if answer.Length >= 0 {
		head.ContentLength = &answer.Length
	}
	if err := stream.Send(&wxbrokerv1.CallResponse{Part: &wxbrokerv1.CallResponse_Answer{Answer: head}}); err != nil {
		return err
	}
	return c.copy(stream.Context(), from, func(piece []byte) error {
		return stream.Send(&wxbrokerv1.CallResponse{Part: &wxbrokerv1.CallResponse_Body{Body: piece}})
	})
}

// body reads what comes after the head.
type body struct {
	stream wxbrokerv1.WeChatService_CallServer
	piece  []byte
}

func (b *body) Read(p []byte) (int, error) {
	for len(b.piece) == 0 {
		next, err := b.stream.Recv()
		if err != nil {
			return 0, err // io.EOF at its end
		}
		if next.GetHead() != nil {
			return 0, status.Error(codes.InvalidArgument, "only the first request says what to call")
		}
		b.piece = next.GetBody()
	}
	n := copy(p, b.piece)
	b.piece = b.piece[n:]
	return n, nil
}
