package daemon_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/test/bufconn"

	"github.com/wxbroker/wxbroker/pkg/daemon"
	"github.com/wxbroker/wxbroker/pkg/grpctest"
	"github.com/wxbroker/wxbroker/pkg/tlstest"
)

// metric returns what /metrics says of a listener's connections: open, their
// limit, refused and evicted.
func metric(t *testing.T, c *daemon.Connections, listener string) (values [4]int) {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(c)
	rec := httptest.NewRecorder()
	daemon.Ops(registry, nil, nil).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for i, name := range []string{"", "_limit", "_refused_total", "_evicted_total"} {
		label := fmt.Sprintf("\nwxtest_connections%s{listener=%q} ", name, listener)
		_, value, found := strings.Cut(rec.Body.String(), label)
		if _, err := fmt.Sscan(value, &values[i]); !found || err != nil {
			t.Fatalf("no %s in %s", strings.TrimSpace(label), rec.Body)
		}
	}
	return values
}

// port is a limited listener, and the connections that a script opened on it.
type port struct {
	raw     *bufconn.Listener
	accepts chan net.Conn
	clients map[string]net.Conn
	servers map[string]net.Conn
}

func newPort(t *testing.T, c *daemon.Connections, maximum int) *port {
	t.Helper()
	p := &port{
		raw: bufconn.Listen(16), accepts: make(chan net.Conn, 1),
		clients: map[string]net.Conn{}, servers: map[string]net.Conn{},
	}
	l := c.Limit("test", p.raw, maximum)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			p.accepts <- conn
		}
	}()
	return p
}

// play does one step of a script: `a` opens the connection a, `a<` receives a
// byte on it, `a>` sends one, `a/` closes it, and a duration passes.
func (p *port) play(t *testing.T, step string) {
	t.Helper()
	if d, err := time.ParseDuration(step); err == nil {
		time.Sleep(d)
		return
	}
	name, action := step[:1], step[1:]
	client, server := p.clients[name], p.servers[name]
	var err error
	switch action {
	case "":
		if p.clients[name], err = p.raw.Dial(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		select {
		case p.servers[name] = <-p.accepts:
		default: // refused
		}
	case "<":
		_, err = client.Write([]byte("?"))
		_, err2 := io.ReadFull(server, make([]byte, 1))
		err = errors.Join(err, err2)
	case ">":
		_, err = server.Write([]byte("!"))
		_, err2 := io.ReadFull(client, make([]byte, 1))
		err = errors.Join(err, err2)
	case "/":
		err = server.Close()
	}
	if err != nil {
		t.Fatalf("%s: %v", step, err)
	}
}

// left names the connections that their clients see open.
func (p *port) left() string {
	var open []string
	for name, client := range p.clients {
		if _, err := client.Write([]byte("?")); err == nil {
			open = append(open, name)
		}
		_ = client.Close()
	}
	slices.Sort(open)
	return strings.Join(open, " ")
}

// TestWhichConnectionMakesRoom: on a listener that has room for two connections.
func TestWhichConnectionMakesRoom(t *testing.T) {
	for _, tt := range []struct {
		name, script, left string
		refused, evicted   int
	}{
		{"nobody, while there is room", "a b", "a b", 0, 0},
		{"the oldest of those that said nothing", "a b c", "b c", 0, 1},
		{"who said nothing before who was silent for long", "a a< 1h b c", "a c", 0, 1},
		{"being told something is not saying something", "a a> b b< 1h a> c", "b c", 0, 1},
		{"nobody who spoke just now", "a a< b b< 14999ms c", "a b", 1, 0},
		{"nobody who was answered just now", "a a< b b< 1h a> b> c", "a b", 1, 0},
		{"the one that is silent longest", "a a< 1ms b b< 15s c", "b c", 0, 1},
		{"not who has spoken since", "a a< 1ms b b< 15s a< c", "a c", 0, 1},
		{"not who was answered since", "a a< 1ms b b< 15s a> c", "a c", 0, 1},
		{"the newcomer, once the next comes", "a a< b b< 14s a< 2s c d", "a d", 0, 2},
		{"nobody, where one has been closed", "a a< b b< a/ c", "b c", 0, 0},
		{"closing twice makes room once", "a a< b b< a/ b> a/ c c< d", "b c", 1, 0},
		{"closing what made room makes no more room", "a b c a/ c< d d< e", "c d", 1, 2},
		{"refused, and room for who comes later", "a a< b b< c b/ d", "a d", 1, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := daemon.NewConnections("wxtest")
				p := newPort(t, c, 2)
				for step := range strings.FieldsSeq(tt.script) {
					p.play(t, step)
				}
				got := metric(t, c, "test")
				if left := p.left(); left != tt.left {
					t.Errorf("open are %q, want %q", left, tt.left)
				}
				if want := [4]int{len(strings.Fields(tt.left)), 2, tt.refused, tt.evicted}; got != want {
					t.Errorf("open, limit, refused and evicted are %v, want %v", got, want)
				}
			})
		})
	}
}

// TestLimitUnderGRPC: a server is full of other clients' silent connections. It still
// answers a call. A client whose connection made room can call again.
func TestLimitUnderGRPC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const room = 3
		c := daemon.NewConnections("wxtest")
		raw := bufconn.Listen(4 << 10)
		server := grpc.NewServer()
		grpc_health_v1.RegisterHealthServer(server, health.NewServer())
		go func() { _ = server.Serve(c.Limit("grpc", raw, room)) }()
		defer server.Stop()
		client := grpctest.Connect(t, raw.DialContext)
		for round := range 3 {
			for range room + 1 {
				silent, err := raw.Dial()
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = silent.Close() })
			}
			_, err := grpc_health_v1.NewHealthClient(client).Check(t.Context(), new(grpc_health_v1.HealthCheckRequest), grpc.WaitForReady(true))
			if err != nil {
				t.Errorf("round %d: %v", round, err)
			}
			time.Sleep(time.Minute)
		}
		if got := metric(t, c, "grpc"); got[0] > room || got[3] == 0 {
			t.Errorf("open, limit, refused and evicted are %v", got)
		}
	})
}

// TestIdleConnectionsKeepNobodyOut: on a real port, with one connection more than the
// limit.
func TestIdleConnectionsKeepNobodyOut(t *testing.T) {
	const room = 3
	c := daemon.NewConnections("wxtest")
	l := c.Limit("http", mustListen(t, "127.0.0.1:0"), room)
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "here") })
	go func() { served <- daemon.ServeHTTP(ctx, l, handler, discard) }()
	for range room + 1 {
		idle, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = idle.Close() })
	}
	transport := new(http.Transport)
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport, Timeout: time.Minute}).Get("http://" + l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil || string(body) != "here" {
		t.Errorf("answered %q, %v", body, err)
	}
	// The last idle connection took the place of the first, and the client's took that
	// of the second.
	if got, want := metric(t, c, "http"), [4]int{room, room, 0, 2}; got != want {
		t.Errorf("open, limit, refused and evicted are %v, want %v", got, want)
	}
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if open := metric(t, c, "http")[0]; open != 0 {
		t.Errorf("%d connections are open after the end", open)
	}
}

// TestManyAtOnce: connections come, speak and go all at once. The limit and their
// server close them.
func TestManyAtOnce(t *testing.T) {
	const room, clients, rounds = 8, 32, 50
	c := daemon.NewConnections("wxtest")
	raw := bufconn.Listen(16)
	l := c.Limit("test", raw, room)
	var serving, asking sync.WaitGroup
	for range 4 { // Accept may be called by several
		serving.Go(func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				serving.Go(func() {
					defer conn.Close()
					_, _ = io.Copy(conn, conn)
				})
				if open := metric(t, c, "test")[0]; open > room {
					t.Errorf("%d connections are open", open)
				}
			}
		})
	}
	for range clients {
		asking.Go(func() {
			for round := range rounds {
				conn, err := raw.Dial()
				if err != nil {
					t.Error(err)
					return
				}
				if round%2 == 0 {
					_, _ = conn.Write([]byte("?")) // it may have lost its place already
					_, _ = conn.Read(make([]byte, 1))
				}
				_ = conn.Close()
			}
		})
	}
	asking.Wait()
	_ = l.Close()
	serving.Wait()
	if got := metric(t, c, "test"); got[0] != 0 {
		t.Errorf("open, limit, refused and evicted are %v at the end", got)
	}
}

// reluctantListener accepts connections that take their time to close.
type reluctantListener struct {
	net.Listener
	may chan struct{} // closed when they may
}

func (l reluctantListener) Accept() (net.Conn, error) {
	_, server := net.Pipe()
	return reluctantConn{server, l.may}, nil
}

type reluctantConn struct {
	net.Conn
	may chan struct{}
}

func (c reluctantConn) Close() error {
	<-c.may
	return c.Conn.Close()
}

// TestEachMakesRoomOnce: a connection that is being closed for one newcomer does not
// make room for a second.
func TestEachMakesRoomOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := daemon.NewConnections("wxtest")
		may := make(chan struct{})
		l := c.Limit("test", reluctantListener{bufconn.Listen(1), may}, 2)
		for range 4 {
			go func() {
				if _, err := l.Accept(); err != nil {
					t.Error(err)
				}
			}()
			synctest.Wait()
		}
		if got, want := metric(t, c, "test"), [4]int{2, 2, 0, 2}; got != want {
			t.Errorf("open, limit, refused and evicted are %v, want %v", got, want)
		}
		close(may)
	})
}

func TestLimitPassesErrorsOn(t *testing.T) {
	l := daemon.NewConnections("wxtest").Limit("test", brokenListener{bufconn.Listen(1)}, 1)
	if conn, err := l.Accept(); conn != nil || !errors.Is(err, errBroken) {
		t.Errorf("got %v, %v", conn, err)
	}
}

// TestLimitedConnectionsClose: a connection can be closed by half, which net/http uses
// to get an answer through to a client that is still sending. It can be closed more
// than once.
func TestLimitedConnectionsClose(t *testing.T) {
	l := daemon.NewConnections("wxtest").Limit("test", mustListen(t, "127.0.0.1:0"), 1)
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Fatalf("the client reads %v", err)
	}
	if _, err := client.Write([]byte("?")); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadFull(server, make([]byte, 1)); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestSlowFirstRequests: a client that fills an HTTP server with requests that never
// quite arrive keeps nobody out, with TLS or without. A client that waits for an
// answer keeps its place.
func TestSlowFirstRequests(t *testing.T) {
	const maximum = 4
	for _, secured := range []bool{false, true} {
		t.Run(fmt.Sprint("TLS ", secured), func(t *testing.T) {
			raw, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			limits := daemon.NewConnections("wxtest")
			listener := limits.Limit("test", raw, maximum)
			dial := func() (net.Conn, error) { return net.Dial("tcp", raw.Addr().String()) }
			if secured {
				ca := tlstest.NewCA(t, "ours")
				pair := ca.Issue(t)
				cert, err := tls.X509KeyPair(pair.Cert, pair.Key)
				if err != nil {
					t.Fatal(err)
				}
				listener = tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13, SessionTicketsDisabled: true})
				pool := x509.NewCertPool()
				pool.AddCert(ca.Cert)
				dial = func() (net.Conn, error) {
					return tls.Dial("tcp", raw.Addr().String(), &tls.Config{RootCAs: pool, ServerName: tlstest.DNSName, MinVersion: tls.VersionTLS13})
				}
			}
			ctx, cancel := context.WithCancel(t.Context())
			served := make(chan error, 1)
			arrived, release := make(chan struct{}), make(chan struct{})
			go func() {
				served <- daemon.ServeHTTP(ctx, listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/held" {
						close(arrived)
						<-release
					}
					_, _ = io.WriteString(w, "hello")
				}), slog.New(slog.DiscardHandler))
			}()
			send := func(conn net.Conn, path string) error {
				_, err := io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n")
				return err
			}
			receive := func(conn net.Conn) error {
				response, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					return err
				}
				_, err = io.Copy(io.Discard, response.Body)
				return errors.Join(err, response.Body.Close())
			}
			regular, err := dial()
			if err == nil {
				defer regular.Close()
				err = send(regular, "/held")
			}
			if err != nil {
				t.Fatal(err)
			}
			<-arrived
			for range maximum - 1 {
				slow, err := dial()
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = slow.Close() })
				if _, err := io.WriteString(slow, "GET / HTTP/1.1\r\nX-"); err != nil {
					t.Fatal(err)
				}
			}
			// Refused until the others have had their two seconds.
			for start := time.Now(); ; runtime.Gosched() {
				newcomer, err := dial()
				if err == nil {
					err = errors.Join(send(newcomer, "/"), receive(newcomer))
					_ = newcomer.Close()
				}
				if err == nil {
					break
				}
				if time.Since(start) > 8*time.Second { // a request may take ten in any case
					t.Fatalf("a newcomer is not served: %v", err)
				}
			}
			close(release)
			if err := receive(regular); err != nil {
				t.Errorf("who was waiting is not answered: %v", err)
			}
			if got := metric(t, limits, "test"); got[0] > maximum || got[3] == 0 {
				t.Errorf("open, limit, refused and evicted are %v", got)
			}
			cancel()
			if err := <-served; err != nil {
				t.Error(err)
			}
		})
	}
}
