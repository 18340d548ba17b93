package rpc_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/broker/internal/audit"
	"github.com/wxbroker/wxbroker/broker/internal/edges"
	"github.com/wxbroker/wxbroker/broker/internal/fanout"
	"github.com/wxbroker/wxbroker/broker/internal/rpc"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/tlsfile"
	"github.com/wxbroker/wxbroker/pkg/tlstest"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

const (
	// mostUnderWay is how many calls of an app may be under way.
	mostUnderWay = 500
	// mostStreams is how many streams a connection may have.
	mostStreams = 250
)

// TestCallsUnderWayAreBounded, of each app by itself. One that is refused takes
// no place, and however one ends, it gives its place back.
func TestCallsUnderWayAreBounded(t *testing.T) {
	answer := func(w *world, ctx context.Context, conn *grpc.ClientConn) error {
		_, err := w.call(ctx, conn, head("GET", wxapi.PathMedia, "media_id=m")).Recv()
		return err
	}
	for _, tt := range []struct {
		name string
		// begin begins a call that goes on until its ctx ends, or end is called.
		begin func(*testing.T, *world, context.Context, *grpc.ClientConn) (end func())
	}{
		{"calls that say nothing", func(t *testing.T, _ *world, ctx context.Context, conn *grpc.ClientConn) func() {
			stream, err := wxbrokerv1.NewWeChatServiceClient(conn).Call(ctx)
			if err != nil {
				t.Fatal(err)
			}
			return func() { _, _ = stream.Recv() } // they end by themselves
		}},
		{"bodies that are whole in the end", func(t *testing.T, w *world, ctx context.Context, conn *grpc.ClientConn) func() {
			stream := w.call(ctx, conn, head("POST", "/cgi-bin/echo", ""))
			return func() {
				_ = stream.CloseSend()
				if err := drained(stream.Recv); err != nil {
					t.Error(err)
				}
			}
		}},
		{"answers whose callers leave", func(t *testing.T, w *world, ctx context.Context, conn *grpc.ClientConn) func() {
			ctx, cancel := context.WithCancel(ctx)
			if err := answer(w, ctx, conn); err != nil {
				t.Fatal(err)
			}
			return cancel
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.relayTo(trickle)
				w.publish("wx1", token(1, "t"))
				var apps []access.App
				as := func(name string) context.Context {
					secret, id := access.NewToken()
					apps = append(apps, access.App{
						Name: name, Identities: []access.Identity{id}, Accounts: []string{"wx1"},
						Grants: []access.Grant{access.Call, access.Media}, PerSecond: 10_000,
					})
					return metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+secret.Reveal())
				}
				web, other := as("web"), as("other")
				policy, err := access.NewPolicy(apps, nil)
				if err != nil {
					t.Fatal(err)
				}
				w.use(policy)
				conns := []*grpc.ClientConn{w.connect(), w.connect()} // as many streams as one may have
				for range 2 {
					var ends []func()
					for i := range mostUnderWay {
						ends = append(ends, tt.begin(t, w, web, conns[i/mostStreams]))
					}
					synctest.Wait()
					for range 3 {
						if err := answer(w, web, w.conn); status.Code(err) != codes.ResourceExhausted {
							t.Errorf("one more is answered %v", err)
						}
					}
					ctx, cancel := context.WithCancel(other)
					if err := answer(w, ctx, w.conn); err != nil {
						t.Errorf("another app's: %v", err)
					}
					cancel()
					for _, end := range ends {
						end()
					}
					synctest.Wait()
				}
			})
		})
	}
}

// TestStreamsOfAConnectionAreBounded: one more waits until another has ended.
func TestStreamsOfAConnectionAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.publish("wx1", ticket(1, "a"))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for range mostStreams {
			stream, err := wxbrokerv1.NewCredentialServiceClient(w.conn).Watch(ctx)
			if err != nil {
				t.Fatal(err)
			}
			s := &watcher{stream, t}
			s.send(subscribe(both()))
			s.next()
		}
		check := func() error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_, err := healthv1.NewHealthClient(w.conn).Check(ctx, new(healthv1.HealthCheckRequest))
			return err
		}
		if err := check(); status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("one more stream: %v", err)
		}
		cancel()
		synctest.Wait()
		if err := check(); err != nil {
			t.Errorf("once the others have ended: %v", err)
		}
	})
}

// lived notes how long the connections of a client lived.
type lived struct {
	net.Conn
	since time.Time
	note  chan<- time.Duration
}

func (l lived) Close() error {
	l.note <- time.Since(l.since)
	return l.Conn.Close()
}

// TestConnectionsAgeAndEnd: one on which nothing is called does not stay, and
// one in use is replaced, nothing lost by that, so that a call which never comes
// to an end does.
func TestConnectionsAgeAndEnd(t *testing.T) {
	for _, tt := range []struct {
		name        string
		use         func(*testing.T, *world, *grpc.ClientConn)
		least, most time.Duration
	}{
		{"not in use", func(t *testing.T, _ *world, conn *grpc.ClientConn) {
			checkHealth(t, conn)
			time.Sleep(time.Hour)
		}, 5 * time.Minute, 6 * time.Minute},
		{"in use", func(t *testing.T, _ *world, conn *grpc.ClientConn) {
			for range 24 * 60 {
				checkHealth(t, conn)
				time.Sleep(time.Minute)
			}
		}, 100 * time.Minute, 140 * time.Minute},
		{"a call without end", func(t *testing.T, w *world, conn *grpc.ClientConn) {
			ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
			defer cancel()
			err := drained(w.call(ctx, conn, head("GET", wxapi.PathMedia, "media_id=m")).Recv)
			if status.Code(err) != codes.Unavailable {
				t.Errorf("the call ended with %v", err)
			}
		}, 100 * time.Minute, 4 * time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.relayTo(trickle)
				w.publish("wx1", token(1, "t"))
				lives, dial := make(chan time.Duration, 1000), w.dial
				w.dial = func(ctx context.Context) (net.Conn, error) {
					conn, err := dial(ctx)
					return lived{conn, time.Now(), lives}, err
				}
				tt.use(t, w, w.connect())
				synctest.Wait()
				if len(lives) == 0 {
					t.Fatal("no connection has ended")
				}
				if life := <-lives; life < tt.least || life > tt.most {
					t.Errorf("a connection lived for %v, want %v to %v", life, tt.least, tt.most)
				}
			})
		})
	}
}

func checkHealth(t *testing.T, conn *grpc.ClientConn) {
	t.Helper()
	if _, err := healthv1.NewHealthClient(conn).Check(t.Context(), new(healthv1.HealthCheckRequest)); err != nil {
		t.Error(err)
	}
}

// TestHandshakesAreBounded: who has not come to HTTP/2 within ten seconds is not
// waited for.
func TestHandshakesAreBounded(t *testing.T) {
	for _, tt := range []struct {
		name   string
		secure bool
		says   string
	}{
		{"plain text, nothing", false, ""},
		{"plain text, half of the preface", false, "PRI * HTTP/2.0\r\n"},
		{"TLS, nothing", true, ""},
		{"TLS, the beginning of a handshake", true, "\x16\x03\x01\x02\x00\x01"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn := serveAlone(t, tt.secure)
				go func() { _, _ = io.WriteString(conn, tt.says) }()
				start := time.Now()
				defer time.AfterFunc(time.Hour, func() { _ = conn.Close() }).Stop()
				_, _ = io.Copy(io.Discard, conn)
				if took := time.Since(start); took < 10*time.Second || took > 11*time.Second {
					t.Errorf("it was closed after %v", took)
				}
			})
		})
	}
}

// serveAlone runs a server that has nothing to serve, and returns a connection to
// it on which nothing was said.
func serveAlone(t *testing.T, secure bool) net.Conn {
	t.Helper()
	options := rpc.Options{
		Fanout: new(fanout.Fanout), Edges: new(edges.Register), Access: access.NewControl(access.Open(), credential.WallClock),
		Audit: audit.New(slog.New(slog.DiscardHandler)), Clock: credential.WallClock, Log: slog.New(slog.DiscardHandler),
	}
	if secure {
		options.TLS = secured(t)
	}
	listener := bufconn.Listen(64 << 10)
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- rpc.NewServer(options).Run(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	conn, err := listener.Dial()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// secured returns a server's side of TLS.
func secured(t *testing.T) *tls.Config {
	t.Helper()
	cert, key := tlstest.NewCA(t, "ours").Issue(t).Write(t, t.TempDir())
	source, _, err := tlsfile.Load(t.Context(), tlsfile.Files{Cert: cert, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	config, err := source.Server()
	if err != nil {
		t.Fatal(fmt.Errorf("the server's side of TLS: %w", err))
	}
	return config
}
