// Package simtest serves a simulated WeChat to a test, in memory, so that a test in a
// synctest bubble reaches it as a program reaches WeChat.
package simtest

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/test/bufconn"
)

// Server serves a simulated WeChat. Make it with Serve.
type Server struct {
	listener *bufconn.Listener
	instead  atomic.Pointer[http.HandlerFunc] // nil where the simulator answers
}

// Serve serves a simulator, or a handler in the place of one, until the test ends.
func Serve(t testing.TB, wechat http.Handler) *Server {
	t.Helper()
	s := &Server{listener: bufconn.Listen(64 << 10)}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if instead := s.instead.Load(); instead != nil {
			(*instead)(w, r)
			return
		}
		wechat.ServeHTTP(w, r)
	})}
	served := make(chan error, 1)
	go func() { served <- server.Serve(s.listener) }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serving WeChat: %v", err)
		}
	})
	return s
}

// Answer has a handler answer in the place of the simulator, until Answer is called with
// another one, or with nil for the simulator.
func (s *Server) Answer(instead http.HandlerFunc) {
	if instead == nil {
		s.instead.Store(nil)
		return
	}
	s.instead.Store(&instead)
}

// Dial connects to the server, whatever the address.
func (s *Server) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	return s.listener.DialContext(ctx)
}
