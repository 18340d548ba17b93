package rpc

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/broker/internal/relay"
	"github.com/wxbroker/wxbroker/pkg/audit"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// calls implements WeChatService; the .proto file says what it promises.
type calls struct {
	wxbrokerv1.UnimplementedWeChatServiceServer
	relay *relay.Relay
	guard guard
}

const (
	// standstill is how long nothing may move before a transfer is ended.
	standstill = 30 * time.Second
	// betweenLooks is how often it is asked, while a body moves, whether it still
	// may: what is revoked ends within five seconds.
	betweenLooks = 4 * time.Second
)

// pieces is how much of a body is sent at once, in bytes: just below 32 KiB with
// what is around it, since gRPC's next larger buffer has 1 MiB.
const pieces = 32<<10 - 256

// SendTemplate implements [wxbrokerv1.WeChatServiceServer].
func (c *calls) SendTemplate(ctx context.Context, r *wxbrokerv1.SendTemplateRequest) (*wxbrokerv1.SendTemplateResponse, error) {
	t := relay.Template{
		ToUser: r.GetTouser(), TemplateID: r.GetTemplateId(), URL: r.GetUrl(), ClientMsgID: r.GetClientMsgId(),
		Color: r.GetColor(), TopColor: r.GetTopcolor(), Data: make(map[string]relay.Value, len(r.GetData())),
	}
	if m := r.GetMiniprogram(); m != nil {
		t.MiniProgram = &relay.MiniProgram{AppID: m.GetAppid(), PagePath: m.GetPagepath()}
	}
	for name, v := range r.GetData() {
		t.Data[name] = relay.Value{Value: v.GetValue(), Color: v.GetColor()}
	}
	id, err := c.relay.SendTemplate(ctx, access.AppOf(ctx), r.GetAppid(), t)
	if err != nil {
		return nil, err
	}
	return &wxbrokerv1.SendTemplateResponse{Msgid: id}, nil
}

// GetMedia implements [wxbrokerv1.WeChatServiceServer].
func (c *calls) GetMedia(r *wxbrokerv1.GetMediaRequest, stream wxbrokerv1.WeChatService_GetMediaServer) (err error) {
	ctx := stream.Context()
	app, api := access.AppOf(ctx), wxapi.PathMedia
	if r.GetHdVoice() {
		api = wxapi.PathHDVoice
	}
	defer func() { c.tell(ctx, entry{action: "media", appid: printable(r.GetAppid()), api: api}, err) }()
	leave, err := app.Enter()
	if err != nil {
		return err
	}
	defer leave()
	switch {
	case !app.Serves(r.GetAppid()):
		return relay.NotGranted(app, printable(r.GetAppid()), api)
	case !wxapi.IsMediaID(r.GetMediaId()):
		return relay.Refuse(codes.InvalidArgument, "media_id is not one of WeChat's")
	}
	media, err := c.relay.Media(ctx, app, r.GetAppid(), api, r.GetMediaId(), r.GetRange())
	if err != nil {
		return err
	}
	head := &wxbrokerv1.MediaHead{ // in UTF-8, as WeChat's headers need not be
		ContentType: printable(media.ContentType), FileName: strings.ToValidUTF8(media.FileName, "_"), VideoUrl: printable(media.VideoURL),
	}
	if media.Size >= 0 {
		head.Size = &media.Size
	}
	if part := media.Part; part != nil {
		head.Range = &wxbrokerv1.MediaRange{First: part.First, Length: part.Length}
	}
	if media.Body != nil {
		defer media.Body.Close()
	}
	if err := stream.Send(&wxbrokerv1.GetMediaResponse{Part: &wxbrokerv1.GetMediaResponse_Head{Head: head}}); err != nil || media.Body == nil {
		return err
	}
	still := func() error { return c.still(ctx, r.GetAppid(), api) }
	return c.copy(ctx, media.Body, still, func(piece []byte) error {
		return stream.Send(&wxbrokerv1.GetMediaResponse{Part: &wxbrokerv1.GetMediaResponse_Chunk{Chunk: piece}})
	})
}

// GetOpenID implements [wxbrokerv1.WeChatServiceServer].
func (c *calls) GetOpenID(ctx context.Context, r *wxbrokerv1.GetOpenIDRequest) (*wxbrokerv1.GetOpenIDResponse, error) {
	lang := r.GetLang()
	switch {
	case r.GetCode() == "" || len(r.GetCode()) > 512:
		return nil, relay.Refuse(codes.InvalidArgument, "code is missing, or not one of WeChat's")
	case lang == "":
		lang = "zh_CN"
	case lang != "zh_CN" && lang != "zh_TW" && lang != "en":
		return nil, relay.Refuse(codes.InvalidArgument, "lang is none of zh_CN, zh_TW and en")
	}
	app := access.AppOf(ctx)
	page, err := c.relay.OpenID(ctx, app, r.GetAppid(), r.GetCode())
	if err != nil {
		return nil, err
	}
	answer := &wxbrokerv1.GetOpenIDResponse{
		Openid: page.OpenID, Unionid: page.UnionID, Scope: page.Scope, IsSnapshotuser: bool(page.Snapshot),
	}
	if !page.HasUserInfo() {
		return answer, nil
	}
	info, err := c.relay.UserInfo(ctx, app, r.GetAppid(), page, lang)
	if err != nil {
		if ctx.Err() != nil {
			return nil, status.FromContextError(ctx.Err()).Err()
		}
		answer.UserinfoRefusal = refusalIn(err)
		return answer, nil // the code is used up: what it gave is not to be lost
	}
	answer.Userinfo = &wxbrokerv1.UserInfo{
		Nickname: info.Nickname, Sex: info.Sex, Province: info.Province, City: info.City, Country: info.Country,
		Headimgurl: info.HeadImgURL, Privilege: info.Privilege,
	}
	if answer.GetUnionid() == "" {
		answer.Unionid = info.UnionID
	}
	return answer, nil
}

// refusalIn returns the refusal in the details of a status.
func refusalIn(err error) *wxbrokerv1.Refusal {
	for _, detail := range status.Convert(err).Details() {
		if refusal, ok := detail.(*wxbrokerv1.Refusal); ok {
			return refusal
		}
	}
	return &wxbrokerv1.Refusal{Errcode: -1, Errmsg: status.Convert(err).Message()}
}

// still says why a call is not to go on that was let in a while ago: what its
// caller may has changed.
func (c *calls) still(ctx context.Context, appid, api string) error {
	app, _, err := c.guard.access.App(access.CallerOf(ctx))
	switch {
	case err != nil:
		return err
	case !app.MayCall(api) || appid != "" && !app.Serves(appid):
		return relay.NotGranted(app, printable(appid), api)
	}
	return nil
}

// copy sends a body in pieces, as long as it moves and still may. A send that
// is stuck ends with the handler, which is why it is not made here.
func (c *calls) copy(ctx context.Context, body io.Reader, still func() error, send func([]byte) error) error {
	stuck := time.NewTimer(standstill)
	defer stuck.Stop()
	look := time.NewTicker(betweenLooks)
	defer look.Stop()
	ended := make(chan error, 1)
	go func() { ended <- pump(ctx, body, send, stuck) }()
	for {
		select {
		case err := <-ended:
			return err
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		case <-stuck.C:
			return status.Errorf(codes.DeadlineExceeded, "nothing of the answer has moved for %v", standstill)
		case <-look.C:
			if err := still(); err != nil {
				return err
			}
		}
	}
}

// pump sends a body in pieces and puts off stuck with each.
func pump(ctx context.Context, body io.Reader, send func([]byte) error, stuck *time.Timer) error {
	buffer := make([]byte, pieces)
	for {
		n, err := body.Read(buffer)
		if n > 0 {
			if err := send(buffer[:n]); err != nil {
				return err
			}
			stuck.Reset(standstill)
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && ctx.Err() != nil:
			return status.FromContextError(ctx.Err()).Err()
		case err != nil:
			return status.Error(codes.Unavailable, "WeChat's answer broke off")
		}
	}
}

// tell tells the audit how a stream ended.
func (c *calls) tell(ctx context.Context, e entry, err error) {
	switch {
	case err == nil:
		e.outcome = audit.Granted
	case status.Code(err) == codes.PermissionDenied:
		e.outcome = audit.Refused
	default:
		e.outcome = audit.Failed
	}
	c.guard.tell(ctx, e, err)
}
