package app

import (
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/edge/internal/brokertest"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// serveMedia starts a broker for scripts and returns its address. The token that is
// presented says which app calls: one with several accounts (`several`), with none
// (`none`), or else with one. The content of a file is made of the account and the
// media_id; its name is the media_id.
func serveMedia(env *testscript.Env) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		env.T().Fatal(err)
	}
	server := grpc.NewServer()
	b := &brokertest.Broker{Watch: mediaAccounts, Answer: mediaFile}
	b.Register(server)
	go func() { _ = server.Serve(listener) }()
	env.Defer(server.Stop)
	return listener.Addr().String()
}

func mediaAccounts(stream brokertest.WatchStream) error {
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

func mediaFile(head *wxbrokerv1.CallHead, stream brokertest.Stream) error {
	query, err := url.ParseQuery(head.GetQuery())
	if err != nil {
		return err
	}
	id := query.Get("media_id")
	content := id + " of " + head.GetAppid() + "\n"
	if head.GetPath() == wxapi.PathHDVoice {
		content = id + " in HD of " + head.GetAppid() + "\n"
	}
	header := []string{"Content-Disposition", `attachment; filename="voice.amr"`}
	length := int64(len(content))
	var end error
	switch id {
	case "evil":
		header[1] = `attachment; filename="..\\../.bashrc"`
	case "nameless":
		header = []string{"Content-Disposition", `attachment; filename=".."`, "Content-Type", "image/jpeg; a=b"}
	case "video":
		header, content, length = nil, `{"video_url":"https://video.example/?a=1&b=2"}`, -1
	case "broken":
		end = status.Error(codes.Unavailable, "WeChat hung up")
	case "half":
		length = 100
	case "longer":
		length = 1
	case "unknown":
		header, content, length = nil, `{"errcode":40007,"errmsg":"invalid media_id"}`, -1
	}
	if err := brokertest.File(http.StatusOK, length, header, content)(nil, stream); err != nil {
		return err
	}
	return end
}
