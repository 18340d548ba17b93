package daemon

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync/atomic"
	"time"
)

// limitedConn is a connection that notes when it was used.
type limitedConn struct {
	net.Conn
	listener *limited
	number   uint64        // counts up in the order of acceptance
	opened   time.Duration // when it was accepted, since the listener's start
	received atomic.Bool   // whether a byte ever was
	last     atomic.Int64  // when a byte was last read or written, in ns since the listener's start
	awaiting atomic.Bool   // its first HTTP request
	closing  atomic.Bool
}

func (c *limitedConn) active() { c.last.Store(int64(time.Since(c.listener.started))) }

type limitedConnKey struct{}

// await notes that conn, as an HTTP server accepted it, is to bring a request,
// and returns a context in which that can be told.
func await(ctx context.Context, conn net.Conn) context.Context {
	if secured, ok := conn.(*tls.Conn); ok {
		conn = secured.NetConn()
	}
	limited, ok := conn.(*limitedConn)
	if !ok {
		return ctx
	}
	limited.awaiting.Store(true)
	return context.WithValue(ctx, limitedConnKey{}, limited)
}

// arrived notes that the connection of a request's context has brought one.
func arrived(ctx context.Context) {
	if limited, ok := ctx.Value(limitedConnKey{}).(*limitedConn); ok && limited.awaiting.Load() {
		limited.awaiting.Store(false)
	}
}

// Read reads from the connection and notes that it is in use.
func (c *limitedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.active()
		if !c.received.Load() { // storing each time would cost more
			c.received.Store(true)
		}
	}
	return n, err
}

// Write writes to the connection and notes that it is in use.
func (c *limitedConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if n > 0 {
		c.active()
	}
	return n, err
}

// CloseWrite tells the other side that nothing more comes. net/http does so
// before it closes a connection on a request that it refused unread, since
// what closes at once may take the answer back.
func (c *limitedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Close closes the connection and gives back its place, once: whom the listener
// evicts is closed by its server as well.
func (c *limitedConn) Close() error {
	if c.closing.Swap(true) {
		return nil
	}
	err := c.Conn.Close() // before its place is given away: what is scarce are file descriptors
	c.listener.mu.Lock()
	defer c.listener.mu.Unlock()
	c.listener.remove(c)
	return err
}
