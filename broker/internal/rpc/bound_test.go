package rpc_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/broker/internal/audit"
	"github.com/wxbroker/wxbroker/broker/internal/rpc"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/tlsfile"
	"github.com/wxbroker/wxbroker/pkg/tlstest"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// mostStreams is how many streams a connection may have.
const mostStreams = 250

// TestStreamsOfAConnectionAreBounded: one more waits until another has ended.
func TestStreamsOfAConnectionAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, untilItLeaves)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for range mostStreams {
			watch(ctx, t, s.Conn)
		}
		check := func() error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			return checkHealth(ctx, s.Conn)
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

// TestHeadersAreBounded: there is room for a token of any kind, and not for much more.
func TestHeadersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, untilItLeaves)
		for _, tt := range []struct {
			size int
			want codes.Code
		}{{1, codes.OK}, {60 << 10, codes.OK}, {64 << 10, codes.Internal}, {1 << 20, codes.Internal}} {
			ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", strings.Repeat("x", tt.size))
			if err := checkHealth(ctx, s.Conn); status.Code(err) != tt.want {
				t.Errorf("headers of %d bytes: %v, want %v", tt.size, err, tt.want)
			}
		}
	})
}

// TestWhatWaitsToBeReadIsBounded: a call whose requests nobody reads takes little
// memory.
func TestWhatWaitsToBeReadIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, untilItLeaves)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		stream := watch(ctx, t, s.Conn)
		const piece, window = 32 << 10, 256 << 10
		request := &wxbrokerv1.WatchRequest{Request: &wxbrokerv1.WatchRequest_Subscription{
			Subscription: &wxbrokerv1.Subscription{EdgeName: strings.Repeat("x", piece)},
		}}
		var sent atomic.Int64
		go func() {
			for range 1000 {
				if stream.Send(request) != nil {
					return
				}
				sent.Add(piece)
			}
		}()
		synctest.Wait()
		// The client itself keeps 64 KiB, and a piece.
		if n := sent.Load(); n < window-piece || n > window+64<<10+piece {
			t.Errorf("%d KiB were sent, want about %d", n>>10, window>>10)
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
	check := func(t *testing.T, conn *grpc.ClientConn) {
		t.Helper()
		if err := checkHealth(t.Context(), conn); err != nil {
			t.Error(err)
		}
	}
	for _, tt := range []struct {
		name        string
		use         func(*testing.T, *grpc.ClientConn)
		least, most time.Duration
	}{
		{"not in use", func(t *testing.T, conn *grpc.ClientConn) {
			check(t, conn)
			time.Sleep(time.Hour)
		}, 5 * time.Minute, 6 * time.Minute},
		{"in use", func(t *testing.T, conn *grpc.ClientConn) {
			for range 24 * 60 {
				check(t, conn)
				time.Sleep(time.Minute)
			}
		}, 100 * time.Minute, 140 * time.Minute},
		{"a call without end", func(t *testing.T, conn *grpc.ClientConn) {
			ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
			defer cancel()
			if err := end(watch(ctx, t, conn)); status.Code(err) != codes.Unavailable {
				t.Errorf("the call ended with %v", err)
			}
		}, 100 * time.Minute, 4 * time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := serve(t, everySecond)
				lives, dial := make(chan time.Duration, 1000), s.Dial
				s.Dial = func(ctx context.Context) (net.Conn, error) {
					conn, err := dial(ctx)
					return lived{conn, time.Now(), lives}, err
				}
				tt.use(t, s.Connect())
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

// everySecond is a stream on which something is sent every second, as long as it can
// be.
func everySecond(stream wxbrokerv1.CredentialService_WatchServer) error {
	for {
		if err := stream.Send(new(wxbrokerv1.WatchResponse)); err != nil {
			return err
		}
		time.Sleep(time.Second)
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
	options := rpc.Options{Access: access.NewControl(access.Open(), credential.WallClock), Audit: audit.New(slog.New(slog.DiscardHandler))}
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
