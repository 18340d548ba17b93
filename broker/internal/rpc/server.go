package rpc

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/broker/internal/audit"
	"github.com/wxbroker/wxbroker/broker/internal/edges"
	"github.com/wxbroker/wxbroker/broker/internal/fanout"
	"github.com/wxbroker/wxbroker/broker/internal/relay"
	"github.com/wxbroker/wxbroker/pkg/credential"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// drain is how long calls may take to end once the server stops.
const drain = 5 * time.Second

const (
	// maxHeaders bounds the headers of a call, in bytes: a token and little else.
	maxHeaders = 64 << 10
	// maxStreams bounds the calls under way on one connection.
	maxStreams = 250
	// uploadWindow is how much of a body may be on its way, in bytes.
	uploadWindow = 256 << 10
)

// Options are what the services need.
type Options struct {
	Fanout *fanout.Fanout
	Edges  *edges.Register
	// Claim is told what an edge holds, whatever account and kind it names.
	Claim func(appid string, kind credential.Kind, version int64)
	// Report is told that WeChat refused the value with that hash. known is
	// whether the account has handed it out.
	Report func(ctx context.Context, appid string, kind credential.Kind, hash [sha256.Size]byte) (v credential.Versions, known bool, err error)
	// Relay makes calls for apps, and AliasKey is the key of what stands for an
	// access_token; nil without such calls.
	Relay    *relay.Relay
	AliasKey func(ctx context.Context, appid, app string) credential.Secret
	// Operator is registered besides, nil for none.
	Operator wxbrokerv1.OperatorServiceServer
	// Access says who may do what, and Audit is told of it.
	Access *access.Control
	Audit  audit.Log
	// TLS secures connections, nil for plain text.
	TLS   *tls.Config
	Clock credential.Clock
	Log   *slog.Logger
	// Version is the broker's, which callers of another one are told.
	Version string
}

// Server is the broker's gRPC server. Make it with NewServer.
type Server struct {
	grpc     *grpc.Server
	health   *health.Server
	stopping chan struct{} // closed: streams are to end
}

// polledHealth answers one question at a time, and lets nobody watch: such a
// stream would know nothing of grants, nor of the server's end. UNIMPLEMENTED is
// how gRPC's health protocol says so, and its clients know it.
type polledHealth struct{ healthv1.HealthServer }

// Watch implements [healthv1.HealthServer].
func (polledHealth) Watch(*healthv1.HealthCheckRequest, healthv1.Health_WatchServer) error {
	return status.Error(codes.Unimplemented, "watching is not implemented: ask again with Check")
}

// NewServer returns a Server that serves once Run is called.
func NewServer(o Options) *Server {
	guard := guard{o.Access, o.Audit, o.Version}
	s := &Server{
		grpc: grpc.NewServer(
			grpc.Creds(secured(o.TLS, o.Audit)),
			grpc.UnaryInterceptor(guard.unary),
			grpc.StreamInterceptor(guard.stream),
			grpc.InTapHandle(guard.tap),
			// With it guard.stream has methods that there are not, and says so.
			grpc.UnknownServiceHandler(func(any, grpc.ServerStream) error {
				return status.Error(codes.Unimplemented, "there is no such method")
			}),
			// Edges ping every ten seconds, and only while a stream is open: see
			// pkg/watch. Who has none does not keep a connection that way.
			grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second}),
			grpc.KeepaliveParams(keepalive.ServerParameters{
				Time: 20 * time.Second, Timeout: 10 * time.Second, MaxConnectionIdle: 5 * time.Minute,
				// Longer than any stream lives: it bounds calls that never come to an end.
				MaxConnectionAge: 2 * time.Hour, MaxConnectionAgeGrace: 2 * streamLife,
			}),
			grpc.ConnectionTimeout(10*time.Second),
			grpc.MaxRecvMsgSize(maxRequest),
			grpc.MaxHeaderListSize(maxHeaders),
			grpc.MaxConcurrentStreams(maxStreams),
			// Thousands of edges that rarely say anything.
			grpc.ReadBufferSize(4<<10),
			// What is uploaded waits here for WeChat, and no more of each than this.
			grpc.StaticStreamWindowSize(uploadWindow),
			grpc.StaticConnWindowSize(16*uploadWindow),
		),
		health:   health.NewServer(),
		stopping: make(chan struct{}),
	}
	healthv1.RegisterHealthServer(s.grpc, polledHealth{s.health})
	s.health.SetServingStatus(wxbrokerv1.CredentialService_ServiceDesc.ServiceName, healthv1.HealthCheckResponse_SERVING)
	wxbrokerv1.RegisterCredentialServiceServer(s.grpc, &credentials{Options: o, guard: guard, stopping: s.stopping})
	if o.Relay != nil {
		wxbrokerv1.RegisterWeChatServiceServer(s.grpc, &calls{relay: o.Relay, guard: guard})
		s.health.SetServingStatus(wxbrokerv1.WeChatService_ServiceDesc.ServiceName, healthv1.HealthCheckResponse_SERVING)
	}
	if o.Operator != nil {
		wxbrokerv1.RegisterOperatorServiceServer(s.grpc, o.Operator)
		s.health.SetServingStatus(wxbrokerv1.OperatorService_ServiceDesc.ServiceName, healthv1.HealthCheckResponse_SERVING)
	}
	return s
}

// Run serves on listener until ctx ends. Then it ends every stream, so that
// edges look for another broker at once, and returns nil.
func (s *Server) Run(ctx context.Context, listener net.Listener) error {
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		s.health.Shutdown()
		// An open stream would hold GracefulStop for ever.
		close(s.stopping)
		// What is called for apps may come to its end until then; a stream that
		// is stuck in a send does not notice at all.
		cut := time.AfterFunc(drain, s.grpc.Stop)
		defer cut.Stop()
		s.grpc.GracefulStop()
	})
	err := s.grpc.Serve(listener)
	if stop() { // ctx did not end: Serve failed by itself
		return fmt.Errorf("serving gRPC on %s: %w", listener.Addr(), err)
	}
	<-stopped
	return nil
}
