package broker_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/edge/internal/broker"
	"github.com/wxbroker/wxbroker/edge/internal/brokertest"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// fake is a broker that counts calls and connections. On connections older than
// good it does not know anybody, if that is set.
type fake struct {
	brokertest.Broker
	good time.Duration

	mu    sync.Mutex
	calls int
	conns int
	ended []error // how calls ended at the broker
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
func (b *fake) admit(service any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	b.mu.Lock()
	b.calls++
	b.mu.Unlock()
	at, _ := stream.Context().Value(opened{}).(time.Time)
	if b.good > 0 && time.Since(at) >= b.good {
		return status.Error(codes.Unauthenticated, "the certificate has expired")
	}
	err := handle(service, stream)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = append(b.ended, err)
	return err
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

// inBubble runs a test with a client of a broker in time of their own.
func inBubble(t *testing.T, b *fake, test func(*testing.T, *broker.Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		test(t, b.Client(t, grpc.StatsHandler(b), grpc.StreamInterceptor(b.admit), grpc.MaxConcurrentStreams(250)))
	})
}

// answering is a broker that answers calls so.
func answering(answer brokertest.Answer) *fake {
	return &fake{Broker: brokertest.Broker{Answer: answer}}
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
