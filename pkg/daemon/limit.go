package daemon

import (
	"cmp"
	"net"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// idleBeforeEvicted is how long a connection on which something was received
// must have been silent before it may be closed in favour of a new one. Edges
// ping every ten seconds: see pkg/watch.
const idleBeforeEvicted = 15 * time.Second

// slowFirstRequest is how long a connection may take for its first HTTP request
// before it may be closed in favour of a new one, however busy it looks.
const slowFirstRequest = 2 * time.Second

// Connections caps how many connections each of a program's listeners holds open. So
// a client that opens many and sends nothing takes no file descriptors and memory
// from the others. It is a prometheus.Collector of
//
//	<program>_connections{listener}
//	<program>_connections_limit{listener}
//	<program>_connections_refused_total{listener}
//	<program>_connections_evicted_total{listener}
type Connections struct {
	open, limit      *prometheus.GaugeVec
	refused, evicted *prometheus.CounterVec
}

// NewConnections returns the Connections of program, which limits nothing yet.
func NewConnections(program string) *Connections {
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: program + name, Help: help}, []string{"listener"})
	}
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: program + name, Help: help}, []string{"listener"})
	}
	return &Connections{
		open:    gauge("_connections", "Connections that are open, by listener."),
		limit:   gauge("_connections_limit", "How many connections the listener holds open at most."),
		refused: counter("_connections_refused_total", "Connections closed at once, because the listener was full and all others were in use."),
		evicted: counter("_connections_evicted_total", "Silent, idle or slow connections closed to make room for new ones, because the listener was full."),
	}
}

// Describe implements prometheus.Collector.
func (c *Connections) Describe(descs chan<- *prometheus.Desc) {
	for _, each := range []prometheus.Collector{c.open, c.limit, c.refused, c.evicted} {
		each.Describe(descs)
	}
}

// Collect implements prometheus.Collector.
func (c *Connections) Collect(metrics chan<- prometheus.Metric) {
	for _, each := range []prometheus.Collector{c.open, c.limit, c.refused, c.evicted} {
		each.Collect(metrics)
	}
}

// OpsConnections caps an ops listener: probes and scrapes are few.
const OpsConnections = 100

// Limit returns a listener that has at most maximum connections of l open at a
// time; name is its label in the metrics. It belongs below TLS, where a
// connection counts from its first packet on.
//
// A connection that arrives at a full listener takes the place of another. The
// listener looks for that in this order:
//
//  1. the oldest connection on which nothing was ever received;
//  2. the connection that has been silent longest, if for fifteen seconds at least;
//  3. under [ServeHTTP], the connection that has been idle between two requests
//     longest, however short that is;
//  4. the oldest connection whose first request, or call (see [Await]), has been on
//     the way for more than two seconds.
//
// When all connections are in use, the new one is closed at once. An HTTP request
// that has arrived is always answered. So Accept never waits for a place, and a
// client that hoards connections keeps nobody out.
func (c *Connections) Limit(name string, l net.Listener, maximum int) net.Listener {
	c.limit.WithLabelValues(name).Set(float64(maximum))
	return &limitedListener{
		Listener: l, maximum: maximum, started: time.Now(),
		gauge: c.open.WithLabelValues(name), refused: c.refused.WithLabelValues(name), evicted: c.evicted.WithLabelValues(name),
		open: make(map[*limitedConn]struct{}),
	}
}

// limitedListener is what Limit returns.
type limitedListener struct {
	net.Listener
	maximum          int
	started          time.Time // what connections count from
	gauge            prometheus.Gauge
	refused, evicted prometheus.Counter

	mu       sync.Mutex
	accepted uint64 // number of connections so far, which tells the older from the younger
	open     map[*limitedConn]struct{}
}

// Accept returns the next connection that there is a place for.
func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		conn := &limitedConn{Conn: raw, listener: l}
		evicted, ok := l.admit(conn)
		switch {
		case !ok:
			l.refused.Inc()
			_ = raw.Close() // it is refused: nobody needs the error
			continue
		case evicted != nil:
			l.evicted.Inc()
			_ = evicted.Close() // its server learns that from the next read
		}
		return conn, nil
	}
}

// admit gives conn a place. It returns the connection that lost it, if any,
// and false when there is no place.
func (l *limitedListener) admit(conn *limitedConn) (evicted *limitedConn, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.open) >= l.maximum {
		if evicted = l.dispensable(); evicted == nil {
			return nil, false
		}
		l.remove(evicted)
	}
	l.accepted++
	conn.number, conn.opened = l.accepted, time.Since(l.started)
	l.open[conn] = struct{}{}
	l.gauge.Inc()
	return evicted, true
}

// dispensable returns the connection that a new one may replace, nil if all are in
// use. It looks at every connection, but only when the listener is full.
func (l *limitedListener) dispensable() *limitedConn {
	var unused, silent, idle, slow *limitedConn
	now := time.Since(l.started)
	longest := now - idleBeforeEvicted
	for conn := range l.open {
		if !conn.received.Load() {
			unused = older(unused, conn)
			continue
		}
		phase := conn.phase.Load()
		if last := time.Duration(conn.last.Load()); last <= longest && phase != requestUnderWay {
			silent, longest = conn, last
		}
		switch {
		case phase == betweenRequests && (idle == nil || conn.idle.Load() < idle.idle.Load()):
			idle = conn
		case phase == firstRequest && now-conn.opened > slowFirstRequest:
			slow = older(slow, conn)
		}
	}
	return cmp.Or(unused, silent, idle, slow)
}

// older returns the one that was accepted first; one may be nil.
func older(one, other *limitedConn) *limitedConn {
	if one == nil || other.number < one.number {
		return other
	}
	return one
}

// remove gives back the place of conn, if it still has one. l.mu is held.
func (l *limitedListener) remove(conn *limitedConn) {
	if _, has := l.open[conn]; has {
		delete(l.open, conn)
		l.gauge.Dec()
	}
}
