package e2e

import (
	"context"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/broker/brokertest"
	"github.com/wxbroker/wxbroker/edge/edgetest"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

// network is what lies between edges and broker. While it is down nobody is
// told: what is sent vanishes, nothing arrives, connecting hangs.
type network struct {
	dial func(context.Context) (net.Conn, error)

	mu   sync.Mutex
	down chan struct{} // closed while it is down
}

func (n *network) set(up bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if up {
		n.down = make(chan struct{})
	} else {
		close(n.down)
	}
}

func (n *network) Dial(ctx context.Context) (net.Conn, error) {
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
	return &wire{Conn: conn, down: down, closed: make(chan struct{})}, nil
}

// wire is a connection that is dead for good once the network was down.
type wire struct {
	net.Conn
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
	return w.Conn.Close()
}

// TestUnreachableBroker: the network fails without a word, as networks do. The
// edges sign on, and ten seconds after it works again they are current, with
// what was rotated meanwhile.
func TestUnreachableBroker(t *testing.T) {
	for _, outage := range []time.Duration{20 * time.Second, 3 * time.Minute, 15 * time.Minute} {
		t.Run(outage.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, wechatsim.Settings{}, brokertest.Account{})
				w.startBroker(t)
				between := &network{dial: w.dial, down: make(chan struct{})}
				for range 5 {
					w.edges = append(w.edges, edgetest.Start(t, edgetest.Config{
						Name: "edge", Dial: between.Dial, Clock: time.Now, Log: quiet,
					}))
				}
				// The broker reads the ticket at ten minutes: ten seconds after
				// the network went down.
				pass(10*time.Minute - 10*time.Second)
				w.allSign(t, "before")
				between.set(false)
				if err := w.sim.KillTicket(appid, wechatsim.JSAPI); err != nil {
					t.Fatal(err)
				}
				pass(outage)
				for i, e := range w.edges {
					if s := sign(t, e); s.Signature == "" {
						t.Errorf("edge %d does not sign without its broker: %+v", i, s)
					}
				}
				between.set(true)
				pass(10 * time.Second)
				w.allSign(t, "ten seconds after the network's return")
			})
		})
	}
}
