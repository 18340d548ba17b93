package daemon

import (
	"errors"
	"net"
	"sync/atomic"
	"time"
)

// limitedConn is a connection that notes when it was used.
type limitedConn struct {
	net.Conn
	listener *limited
	number   uint64       // counts up in the order of acceptance
	received atomic.Bool  // whether a byte ever was
	last     atomic.Int64 // when a byte was last read or written, in ns since the listener's start
	closing  atomic.Bool
}

func (c *limitedConn) active() { c.last.Store(int64(time.Since(c.listener.started))) }

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
