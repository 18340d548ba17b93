package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// readTimeout bounds how long a request may take to arrive, its body
	// included, and writeTimeout its answer.
	readTimeout  = 10 * time.Second
	writeTimeout = 20 * time.Second
	idleTimeout  = 2 * time.Minute
	// maxHeader bounds the request line and headers, in bytes. It is far above any
	// sound request: one that is merely too long should reach the handler, which says
	// so better than net/http does.
	maxHeader = 512 << 10
	// drain is how long requests under way may take once the program stops.
	drain = 5 * time.Second
	// silence is how long a connection on which nothing was ever asked stays open once
	// the program stops: its first request may be on the way.
	silence = 500 * time.Millisecond
)

// ServeHTTP serves handler on listener until ctx ends. Then it lets requests under way
// finish, for a few seconds at most, and returns nil.
func ServeHTTP(ctx context.Context, listener net.Listener, handler http.Handler, log *slog.Logger) error {
	silent := new(silentConns)
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: readTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		// Without these bounds one stalled upload would use up the whole receive window
		// of its connection.
		HTTP2:    &http.HTTP2Config{MaxReceiveBufferPerStream: 128 << 10, MaxReceiveBufferPerConnection: 4 << 20, WriteByteTimeout: writeTimeout},
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		ConnState: func(conn net.Conn, state http.ConnState) {
			silent.note(conn, state)
			note(conn, state)
		},
		// Else net/http itself would answer `OPTIONS *`, which is the handler's to answer.
		DisableGeneralOptionsHandler: true,
	}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
		defer cancel()
		defer time.AfterFunc(silence, silent.closeAll).Stop()
		if server.Shutdown(bound) != nil {
			log.Warn("requests still under way were cut off", "address", listener.Addr().String(), "after", drain)
			_ = server.Close() // closes what Shutdown could not; nothing is left to do about it
		}
	})
	err := server.Serve(listener)
	if stop() { // ctx did not end: Serve failed by itself
		return fmt.Errorf("serving HTTP on %s: %w", listener.Addr(), err)
	}
	<-stopped
	return nil
}

// silentConns are connections on which nothing was ever asked. Browsers and other
// clients open some to have them ready. Shutdown would wait five seconds for each,
// since its first request might be on the way.
type silentConns struct {
	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

func (s *silentConns) note(c net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if state != http.StateNew {
		delete(s.conns, c)
		return
	}
	if s.conns == nil {
		s.conns = make(map[net.Conn]struct{})
	}
	s.conns[c] = struct{}{}
}

func (s *silentConns) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.Close() // nobody asked anything on it
	}
}
