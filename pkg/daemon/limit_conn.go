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
	listener *limitedListener
	number   uint64        // counts up in the order of acceptance
	opened   time.Duration // when it was accepted, since the listener's start
	received atomic.Bool   // whether a byte was ever received
	last     atomic.Int64  // when a byte was last read or written, in ns since the listener's start
	phase    atomic.Int32  // see note and Await
	idle     atomic.Int64  // when it last began to be idle between HTTP requests, as last
	closing  atomic.Bool
}

func (c *limitedConn) active() { c.last.Store(int64(time.Since(c.listener.started))) }

// What a connection is doing, as far as its server says.
const (
	firstRequest    int32 = iota + 1 // no request has arrived yet
	requestUnderWay                  // a request has arrived and is being answered
	betweenRequests
)

// note takes note of a state that an HTTP server reports of conn, a connection as it
// was accepted. Headers that are still arriving do not count as a request, or a
// trickle of them would hold a place.
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

// Await is for a server that is not [ServeHTTP]. The server calls it with a
// connection, as its listener gave it, that has not brought a call that counts yet. It
// calls arrived when such a call has arrived.
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

// CloseWrite tells the other side that nothing more comes. net/http does so before it
// closes a connection whose request it refused without reading it. If the connection
// were closed at once, the answer could be lost.
func (c *limitedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Close closes the connection and gives back its place. Only the first call does
// something: a connection that the listener evicts is closed by its server as well.
func (c *limitedConn) Close() error {
	if c.closing.Swap(true) {
		return nil
	}
	err := c.Conn.Close() // before its place is given away: file descriptors are scarce
	c.listener.mu.Lock()
	defer c.listener.mu.Unlock()
	c.listener.remove(c)
	return err
}
