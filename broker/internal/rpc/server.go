package rpc

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/broker/internal/audit"
)

// drain is how long calls may take to end once the server stops.
const drain = 5 * time.Second

const (
	// maxRequest bounds a message that a caller sends, in bytes.
	maxRequest = 512 << 10
	// maxHeaders bounds the headers of a call, in bytes: a token and little else.
	maxHeaders = 64 << 10
	// maxStreams bounds the calls under way on one connection.
	maxStreams = 250
	// uploadWindow is how much of a body may be on its way, in bytes.
	uploadWindow = 256 << 10
)

const (
	// connectionAge is how long a connection takes new calls. connectionGrace is how
	// long its calls may go on after that. Both are longer than the life of any edge's
	// stream. They bound calls that would never end.
	connectionAge   = 2 * time.Hour
	connectionGrace = time.Hour
)

// Options are what a Server needs.
type Options struct {
	// Services are served in addition to gRPC's health service.
	Services []Service
	// Access says who may do what, and Audit records it.
	Access *access.Control
	Audit  audit.Log
	// TLS secures connections, nil for plain text.
	TLS *tls.Config
	// Version is the broker's version. Callers that call an unknown method are told it,
	// since they have another version.
	Version string
}

// Server is the broker's gRPC server. Make it with NewServer.
type Server struct {
	grpc     *grpc.Server
	health   *health.Server
	services []Service
}

// NewServer returns a Server that serves once Run is called. It panics if a service's
// needs do not list each of its methods.
func NewServer(o Options) *Server {
	s := &Server{health: health.NewServer(), services: o.Services}
	registered := append(slices.Clone(s.services), healthService(s.health))
	guard := guard{o.Access, o.Audit, o.Version, needsOf(registered)}
	s.grpc = grpc.NewServer(
		grpc.Creds(transportCredentials(o.TLS, o.Audit)),
		grpc.UnaryInterceptor(guard.unary),
		grpc.StreamInterceptor(guard.stream),
		grpc.InTapHandle(guard.tap),
		// With this handler calls of unknown methods reach guard.stream too, which
		// refuses them with the broker's version.
		grpc.UnknownServiceHandler(func(any, grpc.ServerStream) error {
			return status.Error(codes.Unimplemented, "there is no such method")
		}),
		// Edges ping every ten seconds, and only while a stream is open: see
		// pkg/watch. A client without a stream must not keep a connection open by
		// pings.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second}),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			Time: 20 * time.Second, Timeout: 10 * time.Second, MaxConnectionIdle: 5 * time.Minute,
			MaxConnectionAge: connectionAge, MaxConnectionAgeGrace: connectionGrace,
		}),
		grpc.ConnectionTimeout(10*time.Second),
		grpc.MaxRecvMsgSize(maxRequest),
		grpc.MaxHeaderListSize(maxHeaders),
		grpc.MaxConcurrentStreams(maxStreams),
		// There may be thousands of edges, which rarely send anything.
		grpc.ReadBufferSize(4<<10),
		// Bytes of an upload wait here for WeChat, at most a stream's window for each
		// stream. The connection's window bounds only what is on its way.
		grpc.StaticStreamWindowSize(uploadWindow),
		grpc.StaticConnWindowSize(16*uploadWindow),
	)
	for _, service := range registered {
		s.grpc.RegisterService(service.Desc, service.Server)
	}
	for _, service := range s.services {
		s.health.SetServingStatus(service.Desc.ServiceName, healthv1.HealthCheckResponse_SERVING)
	}
	return s
}

// Run serves on listener until ctx ends. Then it stops every service, so that edges
// look for another broker at once, and returns nil.
func (s *Server) Run(ctx context.Context, listener net.Listener) error {
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		s.health.Shutdown()
		for _, service := range s.services {
			if service.Stop != nil {
				service.Stop()
			}
		}
		// Other calls may end by themselves until then. A stream that hangs in a send
		// does not notice the stop at all, so it is cut.
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
