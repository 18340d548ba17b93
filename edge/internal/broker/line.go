package broker

import (
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// worn is how old a connection has to be to be replaced, so that an edge whom
// the broker does not know at all does not connect for every call.
const worn = time.Second

// line is a connection for calls, which no stream opens anew: it is replaced when
// the broker no longer knows who is at the end of it. A client certificate counts
// as it was when the connection was made, and it expires; only a new connection
// presents the one that has taken its place. Make it with newLine.
type line struct {
	connect func() (*grpc.ClientConn, error)
	version string // the edge's

	mu      sync.Mutex
	current *grpc.ClientConn
	made    time.Time                // when current was
	under   map[*grpc.ClientConn]int // calls under way
	closed  bool
}

// newLine returns a line of connections that connect makes. The first one is made
// at once; gRPC connects with the first call.
func newLine(version string, connect func() (*grpc.ClientConn, error)) (*line, error) {
	conn, err := connect()
	if err != nil {
		return nil, err
	}
	return &line{connect: connect, version: version, current: conn, made: time.Now(), under: make(map[*grpc.ClientConn]int)}, nil
}

// use makes a call, and once more on a new connection if the broker does not
// know who calls: if call returns UNAUTHENTICATED. A connection that others have
// replaced stays open until call returns.
func (l *line) use(call func(*grpc.ClientConn) error) error {
	refused, err := l.try(call)
	if status.Code(err) == codes.Unauthenticated && l.replace(refused) {
		_, err = l.try(call)
	}
	if s, ok := status.FromError(err); ok && s.Code() == codes.Unimplemented {
		err = status.Errorf(codes.Unimplemented, "this edge (version %s) asks what its broker does not know: %s", l.version, s.Message())
	}
	return err
}

// try makes a call on the current connection.
func (l *line) try(call func(*grpc.ClientConn) error) (*grpc.ClientConn, error) {
	l.mu.Lock()
	conn := l.current
	l.under[conn]++
	l.mu.Unlock()
	defer func() { // also when call panics
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.under[conn]--; l.under[conn] == 0 {
			delete(l.under, conn)
			if conn != l.current { // others made their calls on it to the end
				_ = conn.Close()
			}
		}
	}()
	return conn, call(conn)
}

// replace reports whether there is another connection than the one on which
// the broker refused a call.
func (l *line) replace(refused *grpc.ClientConn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if refused != l.current {
		return true
	}
	if l.closed || time.Since(l.made) < worn {
		return false
	}
	conn, err := l.connect()
	if err != nil {
		return false // the call has an error to tell already
	}
	if l.under[refused] == 0 {
		_ = refused.Close()
	}
	l.current, l.made = conn, time.Now()
	return true
}

// close ends what is under way.
func (l *line) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	_ = l.current.Close()
	for conn := range l.under {
		_ = conn.Close()
	}
}
