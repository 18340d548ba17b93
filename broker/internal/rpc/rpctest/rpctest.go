// Package rpctest serves services to a test as the broker does. It works in memory and
// in fake time, so the test has to be in a synctest bubble.
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

// Version is the broker's version that the server gives.
const Version = "v9"

// Server is a server in memory. Make it with New, hand its Access and its Audit to the
// services, and serve the services.
type Server struct {
	// Access lets everybody do everything, until Use is called.
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

// Connect opens another connection to the server.
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

// Use makes these apps the only ones that there are.
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

// TakeAudit returns the audit's lines since the last call.
func (s *Server) TakeAudit() []string {
	synctest.Wait()
	return AuditLines(s.log.Take())
}

// AuditLines returns those of a log's lines that are the audit's.
func AuditLines(lines []string) []string {
	return slices.DeleteFunc(lines, func(line string) bool { return !strings.Contains(line, "msg=audit") })
}

// ExpectAudit checks the audit's lines since the last call. It wants one line for each text,
// in any order, and each text in some line.
func (s *Server) ExpectAudit(want ...string) {
	s.t.Helper()
	lines := s.TakeAudit()
	if len(lines) != len(want) {
		s.t.Errorf("the audit says %q, want %q", lines, want)
	}
	for _, text := range want {
		if !slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, text) }) {
			s.t.Errorf("the audit does not say %q: %q", text, lines)
		}
	}
}
