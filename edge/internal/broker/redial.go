package broker

import (
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// minAge is how old a connection has to be before it is replaced. Without it, an edge
// that the broker does not know at all would connect again for every call.
const minAge = time.Second

// redialingConn is a connection for calls that is dialled again when the broker no
// longer knows the caller on it. A connection keeps the client certificate that it was
// made with, and that certificate expires. Only a new connection presents the
// certificate that has taken its place. Make it with newRedialingConn.
type redialingConn struct {
	connect func() (*grpc.ClientConn, error)
	version string // the edge's

	mu      sync.Mutex
	current *grpc.ClientConn
	created time.Time                // when current was made
	inUse   map[*grpc.ClientConn]int // calls under way
	closed  bool
}

// newRedialingConn returns a redialingConn whose connections come from connect. The
// first one is made at once, but gRPC dials with the first call.
func newRedialingConn(version string, connect func() (*grpc.ClientConn, error)) (*redialingConn, error) {
	conn, err := connect()
	if err != nil {
		return nil, err
	}
	return &redialingConn{connect: connect, version: version, current: conn, created: time.Now(), inUse: make(map[*grpc.ClientConn]int)}, nil
}

// use makes a call. If call returns UNAUTHENTICATED, the broker does not know the
// caller, and use makes the call once more on a new connection. A connection that has
// been replaced stays open until its calls return.
func (c *redialingConn) use(call func(*grpc.ClientConn) error) error {
	refused, err := c.try(call)
	if status.Code(err) == codes.Unauthenticated && c.replace(refused) {
		_, err = c.try(call)
	}
	if s, ok := status.FromError(err); ok && s.Code() == codes.Unimplemented {
		err = status.Errorf(codes.Unimplemented, "this edge (version %s) asks what its broker does not know: %s", c.version, s.Message())
	}
	return err
}

// try makes a call on the current connection.
func (c *redialingConn) try(call func(*grpc.ClientConn) error) (*grpc.ClientConn, error) {
	c.mu.Lock()
	conn := c.current
	c.inUse[conn]++
	c.mu.Unlock()
	defer func() { // also when call panics
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.inUse[conn]--; c.inUse[conn] == 0 {
			delete(c.inUse, conn)
			if conn != c.current { // it was replaced, and this was its last call
				_ = conn.Close()
			}
		}
	}()
	return conn, call(conn)
}

// replace replaces the connection on which the broker refused a call. It reports
// whether there is now another connection.
func (c *redialingConn) replace(refused *grpc.ClientConn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if refused != c.current {
		return true
	}
	if c.closed || time.Since(c.created) < minAge {
		return false
	}
	conn, err := c.connect()
	if err != nil {
		return false // the caller gets the refused call's error
	}
	if c.inUse[refused] == 0 {
		_ = refused.Close()
	}
	c.current, c.created = conn, time.Now()
	return true
}

// close ends every call that is under way.
func (c *redialingConn) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	_ = c.current.Close()
	for conn := range c.inUse {
		_ = conn.Close()
	}
}
