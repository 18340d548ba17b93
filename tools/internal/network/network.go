// Package network is the network between two programs in a test. It fails in the two ways
// in which networks do: with an error, or silently.
package network

import (
	"context"
	"net"
	"sync"
)

// Network dials on behalf of one program. Make it with New.
type Network struct {
	dial func(context.Context) (net.Conn, error)

	mu    sync.Mutex
	down  chan struct{} // closed while it is down
	conns map[*wire]struct{}
}

// New returns a Network that is up.
func New(dial func(context.Context) (net.Conn, error)) *Network {
	return &Network{dial: dial, down: make(chan struct{}), conns: make(map[*wire]struct{})}
}

// Fail takes the network down silently: what is sent vanishes, nothing arrives, and
// connecting hangs. The present connections stay dead for good.
func (n *Network) Fail() {
	n.mu.Lock()
	defer n.mu.Unlock()
	close(n.down)
}

// Repair takes it up again after Fail.
func (n *Network) Repair() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down = make(chan struct{})
}

// Cut ends all present connections; new ones work.
func (n *Network) Cut() {
	n.mu.Lock()
	conns := n.conns
	n.conns = make(map[*wire]struct{})
	n.mu.Unlock()
	for conn := range conns {
		_ = conn.Conn.Close()
	}
}

// Dial connects, once the network is up.
func (n *Network) Dial(ctx context.Context) (net.Conn, error) {
	n.mu.Lock()
	down := n.down
	n.mu.Unlock()
	select {
	case <-down:
		<-ctx.Done()
		return nil, ctx.Err()
	default:
	}
	conn, err := n.dial(ctx)
	if err != nil {
		return nil, err
	}
	w := &wire{Conn: conn, network: n, down: down, closed: make(chan struct{})}
	n.mu.Lock()
	n.conns[w] = struct{}{}
	n.mu.Unlock()
	return w, nil
}

// wire is a connection. Once the network was down, it is dead for good.
type wire struct {
	net.Conn
	network   *Network
	down      <-chan struct{}
	closed    chan struct{}
	closeOnce sync.Once
}

func (w *wire) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	select {
	case <-w.down:
		<-w.closed
		return 0, net.ErrClosed
	default:
		return n, err
	}
}

func (w *wire) Write(b []byte) (int, error) {
	select {
	case <-w.down:
		return len(b), nil
	default:
		return w.Conn.Write(b)
	}
}

func (w *wire) Close() error {
	w.closeOnce.Do(func() { close(w.closed) })
	w.network.mu.Lock()
	delete(w.network.conns, w)
	w.network.mu.Unlock()
	return w.Conn.Close()
}
