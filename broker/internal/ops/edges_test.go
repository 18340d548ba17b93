package ops_test

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/broker/internal/fanout"
	"github.com/wxbroker/wxbroker/broker/internal/rpc"
	"github.com/wxbroker/wxbroker/pkg/audit"
	"github.com/wxbroker/wxbroker/pkg/credential"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// watch opens count streams, of which the first acknowledges what it is sent.
func (w *world) watch(count int) {
	w.t.Helper()
	var states fanout.Fanout
	states.Publish(credential.Account{
		AppID: "wx1", Kinds: []credential.Kind{credential.JSAPITicket},
		Credentials: []credential.Credential{{Kind: credential.JSAPITicket, Value: credential.NewSecret(jsapiTicket), Version: 5}},
	})
	server := rpc.NewServer(rpc.Options{
		Fanout: &states, Edges: &w.edges, Claim: func(string, credential.Kind, int64) {},
		Access: access.NewControl(access.Open(), credential.WallClock), Audit: audit.New(slog.New(slog.DiscardHandler), "wxbroker", "app"),
		Clock: credential.WallClock, Log: slog.New(slog.DiscardHandler),
	})
	listener := bufconn.Listen(4 << 10)
	ctx, cancel := context.WithCancel(w.t.Context())
	w.t.Cleanup(cancel)
	go func() { _ = server.Run(ctx, listener) }()
	conn, err := grpc.NewClient("passthrough:///broker",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = conn.Close() })
	for i := range count {
		stream, err := wxbrokerv1.NewCredentialServiceClient(conn).Watch(ctx)
		if err != nil {
			w.t.Fatal(err)
		}
		kind := wxbrokerv1.CredentialKind_CREDENTIAL_KIND_JSAPI_TICKET
		subscription := &wxbrokerv1.Subscription{Kinds: []wxbrokerv1.CredentialKind{kind}}
		request := &wxbrokerv1.WatchRequest{Request: &wxbrokerv1.WatchRequest_Subscription{Subscription: subscription}}
		if err := stream.Send(request); err != nil {
			w.t.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil {
			w.t.Fatal(err)
		}
		if i > 0 {
			continue
		}
		ack := &wxbrokerv1.Acknowledgement{Revision: 1, Held: []*wxbrokerv1.HeldVersion{{Appid: "wx1", Kind: kind, Version: 5}}}
		request = &wxbrokerv1.WatchRequest{Request: &wxbrokerv1.WatchRequest_Acknowledgement{Acknowledgement: ack}}
		if err := stream.Send(request); err != nil {
			w.t.Fatal(err)
		}
	}
}

func TestMetricsCountEdgesThatAreBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.run()
		w.watch(3)
		w.check(map[string]string{"wxbroker_edges": "3", "wxbroker_edges_behind": "2"})
	})
}
