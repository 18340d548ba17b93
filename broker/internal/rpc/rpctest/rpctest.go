// Package rpctest serves services to a test as the broker does, in memory and in
// fake time: the test is in a synctest bubble.
package rpctest

import (
	"context"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/test/bufconn"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/broker/internal/audit"
	"github.com/wxbroker/wxbroker/broker/internal/rpc"
	"github.com/wxbroker/wxbroker/pkg/clocktest"
	"github.com/wxbroker/wxbroker/pkg/grpctest"
	"github.com/wxbroker/wxbroker/pkg/logtest"
)

// Version is what the server says that the broker's is.
const Version = "v9"

// Server is a server in memory. Make it with New, hand what Access and Audit are to
// the services, and serve these.
type Server struct {
	// Access lets everybody do everything, until Use.
	Access *access.Control
	Audit  audit.Log
	// Dial reaches the server. A test may replace it.
	Dial func(context.Context) (net.Conn, error)
	// Conn is a connection to the server.
	Conn *grpc.ClientConn

	// Clock is the wall clock.
	Clock clocktest.Wall

	t      testing.TB
	log    logtest.Log
	stop   context.CancelFunc
	served chan error // what Run returned
}

// New returns a Server that serves nothing yet.
func New(t testing.TB) *Server {
	t.Helper()
	s := &Server{t: t, served: make(chan error, 1)}
	s.Access = access.NewControl(access.Open(), s.Clock.Now)
	s.Audit = audit.New(s.log.Logger())
	return s
}

// Serve serves services until the test ends, or Stop.
func (s *Server) Serve(services ...rpc.Service) {
	s.t.Helper()
	server := rpc.NewServer(rpc.Options{Services: services, Access: s.Access, Audit: s.Audit, Version: Version})
	listener := bufconn.Listen(64 << 10)
	ctx, cancel := context.WithCancel(s.t.Context())
	s.stop = cancel
	go func() { s.served <- server.Run(ctx, listener) }()
	s.t.Cleanup(cancel)
	s.Dial = listener.DialContext
	s.Conn = s.Connect()
}

// Connect returns a connection of its own.
func (s *Server) Connect() *grpc.ClientConn {
	s.t.Helper()
	return grpctest.Connect(s.t, func(ctx context.Context) (net.Conn, error) { return s.Dial(ctx) })
}

// Stop ends Run and returns how long that took.
func (s *Server) Stop() time.Duration {
	s.t.Helper()
	start := time.Now()
	s.stop()
	if err := <-s.served; err != nil {
		s.t.Errorf("Run returned %v", err)
	}
	return time.Since(start)
}

// Use makes these the apps that there are.
func (s *Server) Use(apps ...access.App) {
	s.t.Helper()
	policy, err := access.NewPolicy(apps, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	s.Access.Use(policy)
}

// By returns a context that presents a token.
func By(ctx context.Context, token string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
}

// Told returns the audit's lines since the last call.
func (s *Server) Told() []string {
	synctest.Wait()
	return AuditLines(s.log.Take())
}

// AuditLines returns those of a log's lines that are the audit's.
func AuditLines(lines []string) []string {
	return slices.DeleteFunc(lines, func(line string) bool { return !strings.Contains(line, "msg=audit") })
}

// Tells checks which lines the audit has since the last call, by what each contains,
// in any order.
func (s *Server) Tells(want ...string) {
	s.t.Helper()
	lines := s.Told()
	if len(lines) != len(want) {
		s.t.Errorf("the audit says %q, want %q", lines, want)
	}
	for _, text := range want {
		if !slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, text) }) {
			s.t.Errorf("the audit does not say %q: %q", text, lines)
		}
	}
}
