package broker_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/wxbroker/wxbroker/edge/internal/broker"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// broker answers as a test tells it to. On connections older than good it does
// not know anybody, if that is set.
type fake struct {
	wxbrokerv1.UnimplementedWeChatServiceServer
	good time.Duration
	call func(grpc.BidiStreamingServer[wxbrokerv1.CallRequest, wxbrokerv1.CallResponse]) error

	mu    sync.Mutex
	calls int
	conns int
	keys  []string
}

type opened struct{}

func (b *fake) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }
func (b *fake) HandleRPC(context.Context, stats.RPCStats)                       {}
func (b *fake) HandleConn(context.Context, stats.ConnStats)                     {}
func (b *fake) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.conns++
	return context.WithValue(ctx, opened{}, time.Now())
}

// admit counts a call and refuses it where nobody is known.
func (b *fake) admit(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls++
	headers, _ := metadata.FromIncomingContext(ctx)
	b.keys = append(b.keys, strings.Join(headers.Get("wxbroker-local-key"), ","))
	at, _ := ctx.Value(opened{}).(time.Time)
	if b.good > 0 && time.Since(at) >= b.good {
		return status.Error(codes.Unauthenticated, "the certificate has expired")
	}
	return nil
}

func (b *fake) Call(stream grpc.BidiStreamingServer[wxbrokerv1.CallRequest, wxbrokerv1.CallResponse]) error {
	if err := b.admit(stream.Context()); err != nil {
		return err
	}
	return b.call(stream)
}

// counts checks how many calls and connections there were.
func (b *fake) counts(t *testing.T, made, conns int) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.calls != made || b.conns != conns {
		t.Errorf("%d calls on %d connections, want %d on %d", b.calls, b.conns, made, conns)
	}
}

// inBubble runs a test with a client of a broker in time of their own. The broker
// goes away after a day: a call that nothing else ends fails then, and a test does
// not wait for it for ever.
func inBubble(t *testing.T, b *fake, test func(*testing.T, *broker.Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		listener := bufconn.Listen(64 << 10)
		// As the broker's: what the client's keepalive sends must not count as abuse.
		server := grpc.NewServer(grpc.StatsHandler(b), grpc.WaitForHandlers(true), grpc.MaxConcurrentStreams(250),
			grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}))
		wxbrokerv1.RegisterWeChatServiceServer(server, b)
		go func() { _ = server.Serve(listener) }()
		defer server.Stop()
		defer time.AfterFunc(24*time.Hour, server.Stop).Stop()
		c, err := broker.New("passthrough:///broker", "v1.2.3", []grpc.DialOption{
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
		})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		test(t, c)
	})
}

// saved is a sink that keeps everything.
type saved struct {
	heads  int
	pieces []byte
}

func sink(s *saved) broker.Sink {
	return broker.Sink{
		Head:  func(*wxbrokerv1.CallAnswer) error { s.heads++; return nil },
		Piece: func(p []byte) error { s.pieces = append(s.pieces, p...); return nil },
	}
}

// text is a body that notes how it was read and closed. After it comes end.
type text struct {
	strings.Reader
	end    error
	wait   chan struct{} // if set, end comes once it is closed
	once   sync.Once
	closed bool
}

func body(content string, end error) *text {
	return &text{Reader: *strings.NewReader(content), end: end}
}

func (r *text) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if !errors.Is(err, io.EOF) {
		return n, err
	}
	if r.wait != nil {
		<-r.wait
	}
	return n, r.end
}

func (r *text) Close() error {
	r.closed = true
	if r.wait != nil {
		r.once.Do(func() { close(r.wait) })
	}
	return nil
}

// head and piece are what a broker sends and answers a call with.
func head(content string) *wxbrokerv1.CallResponse {
	return &wxbrokerv1.CallResponse{Part: &wxbrokerv1.CallResponse_Answer{Answer: &wxbrokerv1.CallAnswer{
		Status: 200, Headers: []*wxbrokerv1.CallHeader{{Name: "X", Value: content}},
	}}}
}

func piece(content string) *wxbrokerv1.CallResponse {
	return &wxbrokerv1.CallResponse{Part: &wxbrokerv1.CallResponse_Body{Body: []byte(content)}}
}

// echo answers a call with its body, once it is whole.
func echo(stream grpc.BidiStreamingServer[wxbrokerv1.CallRequest, wxbrokerv1.CallResponse]) error {
	var got []byte
	for {
		request, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		got = append(got, request.GetBody()...)
	}
	if err := stream.Send(head("")); err != nil {
		return err
	}
	return stream.Send(piece(string(got)))
}
