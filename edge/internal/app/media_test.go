package app

import (
	"net"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// mediaBroker is a broker for scripts. To whom it is depends on the token that
// is presented: the app of one account, of several (`several`) or of none
// (`none`). Files are the account's and the media_id's, named by the latter.
type mediaBroker struct {
	wxbrokerv1.UnimplementedCredentialServiceServer
	wxbrokerv1.UnimplementedWeChatServiceServer
}

// serveMedia starts a mediaBroker and returns its address.
func serveMedia(env *testscript.Env) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		env.T().Fatal(err)
	}
	server := grpc.NewServer()
	wxbrokerv1.RegisterCredentialServiceServer(server, mediaBroker{})
	wxbrokerv1.RegisterWeChatServiceServer(server, mediaBroker{})
	go func() { _ = server.Serve(listener) }()
	env.Defer(server.Stop)
	return listener.Addr().String()
}

func (mediaBroker) Watch(stream grpc.BidiStreamingServer[wxbrokerv1.WatchRequest, wxbrokerv1.WatchResponse]) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	if s := first.GetSubscription(); len(s.GetKinds()) > 0 || !s.GetCalls() {
		return status.Error(codes.InvalidArgument, "a credential is asked for, or no calls")
	}
	may := func(appid string, grants ...wxbrokerv1.CallGrant) *wxbrokerv1.Account {
		return &wxbrokerv1.Account{Appid: appid, Calls: grants}
	}
	accounts := []*wxbrokerv1.Account{may(shop, wxbrokerv1.CallGrant_CALL_GRANT_MEDIA), may(pay, wxbrokerv1.CallGrant_CALL_GRANT_CALL)}
	headers, _ := metadata.FromIncomingContext(stream.Context())
	switch strings.Join(headers.Get("authorization"), "") {
	case "Bearer several":
		accounts = append(accounts, may("wx3", wxbrokerv1.CallGrant_CALL_GRANT_MEDIA))
	case "Bearer none":
		accounts = accounts[1:]
	}
	return stream.Send(&wxbrokerv1.WatchResponse{Revision: 1, Accounts: accounts})
}

func (mediaBroker) GetMedia(r *wxbrokerv1.GetMediaRequest, stream grpc.ServerStreamingServer[wxbrokerv1.GetMediaResponse]) error {
	if r.GetHdVoice() {
		r.MediaId += " in HD"
	}
	content := r.GetMediaId() + " of " + r.GetAppid() + "\n"
	head := &wxbrokerv1.MediaHead{FileName: "voice.amr", Size: new(int64(len(content)))}
	var end error
	switch r.GetMediaId() {
	case "evil":
		head.FileName = `..\../.bashrc`
	case "nameless":
		head.FileName, head.ContentType = "..", "image/jpeg; a=b"
	case "video":
		head = &wxbrokerv1.MediaHead{VideoUrl: "https://video.example/?a=1&b=2"}
	case "broken":
		end = status.Error(codes.Unavailable, "WeChat hung up")
	case "half":
		head.Size = new(int64(100))
	case "longer":
		head.Size = new(int64(1))
	case "unknown":
		refused, err := status.New(codes.NotFound, "WeChat refuses").WithDetails(&wxbrokerv1.Refusal{Errcode: 40007, Errmsg: "invalid media_id"})
		if err != nil {
			return err
		}
		return refused.Err()
	}
	if err := stream.Send(&wxbrokerv1.GetMediaResponse{Part: &wxbrokerv1.GetMediaResponse_Head{Head: head}}); err != nil || head.GetVideoUrl() != "" {
		return err
	}
	if err := stream.Send(&wxbrokerv1.GetMediaResponse{Part: &wxbrokerv1.GetMediaResponse_Chunk{Chunk: []byte(content)}}); err != nil {
		return err
	}
	return end
}
