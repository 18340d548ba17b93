package brokertest

import (
	"errors"
	"net"
	"sync"
)

var errCut = errors.New("the broker is dead")

// wires are a broker's connections, to be cut all at once.
type wires struct {
	mu    sync.Mutex
	conns []net.Conn
	isCut bool
}

// add takes what a Dial returned.
func (w *wires) add(conn net.Conn, err error) (net.Conn, error) {
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.isCut {
		_ = conn.Close()
		return nil, errCut
	}
	kept := &wire{conn, w}
	w.conns = append(w.conns, kept)
	return kept, nil
}

func (w *wires) cut() {
	w.mu.Lock()
	conns := w.conns
	w.conns, w.isCut = nil, true
	w.mu.Unlock()
	for _, conn := range conns {
		_ = conn.Close()
	}
}

func (w *wires) areCut() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.isCut
}

// wire is forgotten when it is closed: a month of simulation opens many.
type wire struct {
	net.Conn
	owner *wires
}

func (w *wire) Close() error {
	w.owner.mu.Lock()
	for i, conn := range w.owner.conns {
		if conn == net.Conn(w) {
			w.owner.conns = append(w.owner.conns[:i], w.owner.conns[i+1:]...)
			break
		}
	}
	w.owner.mu.Unlock()
	return w.Conn.Close()
}
