package daemon_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/test/bufconn"

	"github.com/wxbroker/wxbroker/pkg/daemon"
	"github.com/wxbroker/wxbroker/pkg/tlstest"
)

// busyPort is an HTTP server with room for few connections.
type busyPort struct {
	t      *testing.T
	raw    *bufconn.Listener
	url    string
	limits *daemon.Connections
	secure *tls.Config // of clients, nil for plain text
}

// temporaryListener accepts connections whose timeouts count as temporary errors, as
// those of the system do. Those of bufconn do not, and TLS would take them for the end
// of the connection.
type temporaryListener struct{ net.Listener }

func (l temporaryListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return temporaryConn{conn}, err
}

type temporaryConn struct{ net.Conn }

func (c temporaryConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		err = os.ErrDeadlineExceeded
	}
	return n, err
}

// serveFew serves handler in a bubble, over TLS with these protocols, or in plain text
// without any.
func serveFew(t *testing.T, room int, handler http.HandlerFunc, protocols ...string) *busyPort {
	t.Helper()
	p := &busyPort{t: t, raw: bufconn.Listen(64 << 10), url: "http://edge", limits: daemon.NewConnections("wxtest")}
	listener := p.limits.Limit("test", temporaryListener{p.raw}, room)
	if len(protocols) > 0 {
		ca := tlstest.NewCA(t, "ours")
		pair := ca.Issue(t)
		cert, err := tls.X509KeyPair(pair.Cert, pair.Key)
		if err != nil {
			t.Fatal(err)
		}
		pool := x509.NewCertPool()
		pool.AddCert(ca.Cert)
		listener = tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: protocols, MinVersion: tls.VersionTLS13})
		p.secure = &tls.Config{RootCAs: pool, ServerName: tlstest.DNSName, MinVersion: tls.VersionTLS13}
		p.url = "https://edge"
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- daemon.ServeHTTP(ctx, listener, handler, discard) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return p
}

// client returns a client that keeps a connection of its own.
func (p *busyPort) client() *http.Client {
	transport := &http.Transport{
		DialContext:     func(ctx context.Context, _, _ string) (net.Conn, error) { return p.raw.DialContext(ctx) },
		TLSClientConfig: p.secure.Clone(), ForceAttemptHTTP2: true,
	}
	p.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// ask returns the protocol that was spoken.
func (p *busyPort) ask(client *http.Client, path string) (protocol string, err error) {
	response, err := client.Get(p.url + path)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return response.Proto, err
}

// TestBusyIdlersKeepNobodyOut: a client fills a server with connections and asks
// something on each of them now and then. It is in nobody's way. No answer is cut off
// for a newcomer, however long the answer takes.
func TestBusyIdlersKeepNobodyOut(t *testing.T) {
	for _, tt := range []struct {
		name, speaks string
		protocols    []string
	}{
		{"HTTP/1.1", "HTTP/1.1", nil},
		{"HTTP/1.1 over TLS", "HTTP/1.1", []string{"http/1.1"}},
		{"HTTP/2", "HTTP/2.0", []string{"h2", "http/1.1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const room = 4
				release := make(chan struct{})
				p := serveFew(t, room, func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/held" {
						<-release
					}
					_, _ = io.WriteString(w, "here")
				}, tt.protocols...)
				ask := func(client *http.Client, path string) {
					if protocol, err := p.ask(client, path); err != nil || protocol != tt.speaks {
						t.Errorf("asking for %s: %s, %v", path, protocol, err)
					}
				}
				held := make(chan struct{})
				go func() {
					defer close(held)
					ask(p.client(), "/held")
				}()
				ctx, leave := context.WithCancel(t.Context())
				var idlers sync.WaitGroup
				// No two ask at the same moment, so it is certain which of them is idle then.
				for _, every := range []time.Duration{211 * time.Millisecond, 223 * time.Millisecond, 227 * time.Millisecond} {
					idler := p.client()
					idlers.Go(func() {
						for ; ctx.Err() == nil; time.Sleep(every) {
							ask(idler, "/") // it connects again when it has lost its place
						}
					})
				}
				const newcomers = 18 // longer than silence lasts before it costs a place
				for range newcomers {
					time.Sleep(time.Second)
					ask(p.client(), "/")
				}
				if got := metric(t, p.limits, "test"); got[0] != room || got[2] != 0 || got[3] < newcomers {
					t.Errorf("open, limit, refused and evicted are %v", got)
				}
				leave()
				idlers.Wait()
				close(release)
				<-held
			})
		})
	}
}

// TestIdleBeforeSlow: an idle connection loses its place before a slow one. The slow
// one may still bring its request; the idle one has its answer.
func TestIdleBeforeSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := serveFew(t, 2, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "here") })
		slow, err := p.raw.Dial()
		if err != nil {
			t.Fatal(err)
		}
		defer slow.Close()
		if _, err := io.WriteString(slow, "GET / HTTP/1.0\r\n"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		for range 2 {
			if _, err := p.ask(p.client(), "/"); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		if _, err := io.WriteString(slow, "\r\n"); err != nil {
			t.Fatal(err)
		}
		if answer, err := io.ReadAll(slow); err != nil || !strings.HasSuffix(string(answer), "here") {
			t.Errorf("the slow one is answered %q, %v", answer, err)
		}
	})
}

// TestTheLongestIdleConnectionMakesRoom: the time counts from the last answer, not from the
// connection's start.
func TestTheLongestIdleConnectionMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const room = 3
		p := serveFew(t, room, func(w http.ResponseWriter, r *http.Request) { _, _ = fmt.Fprint(w, r.RemoteAddr) })
		conns := make([]net.Conn, room)
		for i := range conns {
			var err error
			if conns[i], err = p.raw.Dial(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = conns[i].Close() })
		}
		answered := func(conn net.Conn) bool {
			if _, err := io.WriteString(conn, "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
				return false
			}
			_, err := conn.Read(make([]byte, 1<<10))
			return err == nil
		}
		for _, i := range []int{0, 1, 2, 1, 0} {
			if !answered(conns[i]) {
				t.Fatalf("connection %d is not served", i)
			}
			time.Sleep(time.Millisecond)
		}
		// Headers that trickle in are not a request: they do not keep a place.
		if _, err := io.WriteString(conns[2], "HEAD"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
		if _, err := p.ask(p.client(), "/"); err != nil {
			t.Fatal(err)
		}
		for i, want := range []bool{true, true, false} {
			if got := answered(conns[i]); got != want {
				t.Errorf("connection %d is served: %v, want %v", i, got, want)
			}
		}
	})
}
