package daemon

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
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
	phase    atomic.Int32  // see note and Await
	idle     atomic.Int64  // when it last began to be idle between HTTP requests, as last
	closing  atomic.Bool
}

func (c *limitedConn) active() { c.last.Store(int64(time.Since(c.listener.started))) }

// What a connection is doing, as far as its server says.
const (
	firstRequest    int32 = iota + 1 // it has yet to bring one
	requestUnderWay                  // one has arrived and is being answered
	betweenRequests
)

// note notes what an HTTP server says of conn, as it was accepted. Headers that
// are arriving do not count as a request yet, or a trickle of them would hold a
// place.
func note(conn net.Conn, state http.ConnState) {
	if secured, ok := conn.(*tls.Conn); ok {
		conn = secured.NetConn()
	}
	limited, ok := conn.(*limitedConn)
	if !ok {
		return
	}
	switch state {
	case http.StateNew:
		limited.phase.Store(firstRequest)
	case http.StateActive:
		limited.phase.Store(requestUnderWay)
	case http.StateIdle:
		limited.idle.Store(int64(time.Since(limited.listener.started)))
		limited.phase.Store(betweenRequests)
	case http.StateHijacked, http.StateClosed:
		limited.phase.Store(0)
	}
}

// Await is for a server that is not [ServeHTTP]: it says that a connection, as
// its listener gave it, has yet to bring a call that counts, and returns what
// says that it has.
func Await(conn net.Conn) (arrived func()) {
	limited, ok := conn.(*limitedConn)
	if !ok {
		return func() {}
	}
	limited.phase.Store(firstRequest)
	return func() { limited.phase.Store(0) }
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
