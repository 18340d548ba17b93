package calls_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/wxbroker/wxbroker/broker/internal/calls"
	"github.com/wxbroker/wxbroker/broker/internal/fanout"
	"github.com/wxbroker/wxbroker/broker/internal/keeper"
	"github.com/wxbroker/wxbroker/broker/internal/relay"
	"github.com/wxbroker/wxbroker/broker/internal/rpc"
	"github.com/wxbroker/wxbroker/broker/internal/rpc/rpctest"
	"github.com/wxbroker/wxbroker/broker/internal/store/storetest"
	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wechatsim/simtest"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// world is a Service in fake time, and a WeChat that has given the account wx1 the
// token the-token.
type world struct {
	*rpctest.Server
	t      *testing.T
	wechat *simtest.Server
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{Server: rpctest.New(t), t: t, wechat: simtest.Serve(t, once(answers))}
	w.Serve(rpc.Service{
		Desc: &wxbrokerv1.WeChatService_ServiceDesc, Needs: calls.Needs(),
		Server: &calls.Service{Relay: w.relay(), Access: w.Access, Audit: w.Audit},
	})
	return w
}

// relay returns a relay to the world's WeChat.
func (w *world) relay() *relay.Relay {
	client := wechat.New(wechat.Options{
		Upstreams: []*url.URL{{Scheme: "http", Host: "127.0.0.1:1"}},
		Dial:      w.wechat.Dial,
	})
	states := new(fanout.Fanout)
	states.Publish(credential.Account{
		AppID: "wx1", Kinds: []credential.Kind{credential.AccessToken},
		Credentials: []credential.Credential{{
			Kind: credential.AccessToken, Version: 1, Value: credential.NewSecret("the-token"),
			Expiry: credential.Clock(credential.WallClock).Now().Add(time.Hour),
		}},
	})
	log := slog.New(slog.DiscardHandler)
	return relay.New(relay.Options{
		WeChat: client, Account: states.Account, Store: new(storetest.Disk).Writer(), Clock: credential.WallClock, Log: log,
		Keys: &relay.Keys{Store: new(storetest.Disk).Writer(), Log: log},
		Keeper: func(appid string) *keeper.Keeper { // which never runs: its AppSecret is what counts
			if !states.Has(appid) {
				return nil
			}
			return keeper.New(context.Background(), keeper.Options{
				Account: wechat.Account{AppID: appid, Secret: credential.NewSecret("an AppSecret")}, WeChat: client,
				Store: new(storetest.Disk).Writer(), Publish: func(credential.Account) {}, Clock: credential.WallClock, Log: log,
			})
		},
	})
}

// relayTo sets who answers as WeChat.
func (w *world) relayTo(answer http.HandlerFunc) { w.wechat.Answer(once(answer)) }

// once answers one request on each connection. On one that is used again, a deadline of
// bufconn's that was lifted may strike all the same, and the call on it ends with EOF.
func once(answer http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		answer(w, r)
	}
}

func head(method, path, query string) *wxbrokerv1.CallHead {
	return &wxbrokerv1.CallHead{Appid: "wx1", Method: method, Path: path, Query: query, Proven: true}
}

// call begins a call with its head. A failure is what its Recv returns.
func (w *world) call(ctx context.Context, conn *grpc.ClientConn, head *wxbrokerv1.CallHead) wxbrokerv1.WeChatService_CallClient {
	w.t.Helper()
	stream, err := wxbrokerv1.NewWeChatServiceClient(conn).Call(ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	_ = stream.Send(&wxbrokerv1.CallRequest{Part: &wxbrokerv1.CallRequest_Head{Head: head}})
	return stream
}

// pass makes a call with a body in pieces, and returns the answer's body.
func (w *world) pass(ctx context.Context, head *wxbrokerv1.CallHead, pieces ...string) (*wxbrokerv1.CallAnswer, string, error) {
	w.t.Helper()
	stream := w.call(ctx, w.Conn, head)
	for _, piece := range pieces {
		_ = stream.Send(&wxbrokerv1.CallRequest{Part: &wxbrokerv1.CallRequest_Body{Body: []byte(piece)}})
	}
	_ = stream.CloseSend()
	var answer *wxbrokerv1.CallAnswer
	body := new(bytes.Buffer)
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return answer, body.String(), nil
		} else if err != nil {
			return answer, body.String(), err
		}
		if part.GetAnswer() != nil {
			answer = part.GetAnswer()
		}
		body.Write(part.GetBody())
	}
}

// drained reads a stream to its end.
func drained[T any](receive func() (T, error)) error {
	for {
		if _, err := receive(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}
