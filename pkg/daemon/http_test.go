package daemon_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/test/bufconn"

	"github.com/wxbroker/wxbroker/pkg/daemon"
)

var discard = slog.New(slog.DiscardHandler)

// site is ServeHTTP in a bubble, with a client.
type site struct {
	listener *bufconn.Listener
	client   *http.Client
	stop     context.CancelFunc
	served   chan error // what ServeHTTP returned
}

func serve(t *testing.T, handler http.HandlerFunc) *site {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	s := &site{listener: bufconn.Listen(4 << 10), stop: cancel, served: make(chan error, 1)}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return s.listener.DialContext(ctx)
	}}
	s.client = &http.Client{Transport: transport}
	t.Cleanup(transport.CloseIdleConnections)
	go func() { s.served <- daemon.ServeHTTP(ctx, s.listener, handler, discard) }()
	t.Cleanup(cancel)
	return s
}

// answer is what a request brought back.
type answer struct {
	body string
	err  error
}

func (s *site) ask() <-chan answer {
	c := make(chan answer, 1)
	go func() {
		response, err := s.client.Get("http://edge/")
		if err != nil {
			c <- answer{err: err}
			return
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		c <- answer{string(body), err}
	}()
	return c
}

// stopped ends ctx and returns how long ServeHTTP took to return nil.
func (s *site) stopped(t *testing.T) time.Duration {
	t.Helper()
	start := time.Now()
	s.stop()
	if err := <-s.served; err != nil {
		t.Errorf("ServeHTTP returned %v", err)
	}
	return time.Since(start)
}

// slow takes d, unless the connection is cut.
func slow(d time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(d):
			_, _ = io.WriteString(w, "done")
		case <-r.Context().Done():
		}
	}
}

func TestRequestUnderWayIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, slow(3*time.Second))
		got := s.ask()
		synctest.Wait() // the request is with the handler
		if took := s.stopped(t); took < 3*time.Second {
			t.Errorf("stopped after %v, before the answer", took)
		}
		if a := <-got; a.err != nil || a.body != "done" {
			t.Errorf("got %q, %v", a.body, a.err)
		}
		if conn, err := s.listener.Dial(); err == nil {
			_ = conn.Close()
			t.Error("the listener is still open")
		}
	})
}

func TestRequestThatTakesTooLongIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, slow(time.Hour))
		got := s.ask()
		synctest.Wait()
		if took := s.stopped(t); took > 10*time.Second {
			t.Errorf("the stop took %v", took)
		}
		if a := <-got; a.err == nil {
			t.Errorf("got %q though the handler never answered", a.body)
		}
	})
}

func TestSilentConnectionDoesNotDelayTheStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, slow(0))
		silent, err := s.listener.Dial() // as browsers do, to have a connection ready
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
		// A connection that was used and is kept for the next request.
		if a := <-s.ask(); a.err != nil {
			t.Fatal(a.err)
		}
		synctest.Wait()
		if took := s.stopped(t); took > 1200*time.Millisecond {
			t.Errorf("the stop took %v", took)
		}
		if n, err := silent.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("the silent connection is open: %d, %v", n, err)
		}
	})
}

func TestClosingSilentConnectionsSparesRequestsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, slow(2*time.Second))
		silent, err := s.listener.Dial()
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
		got := s.ask()
		synctest.Wait()
		s.stopped(t)
		if a := <-got; a.err != nil || a.body != "done" {
			t.Errorf("got %q, %v", a.body, a.err)
		}
	})
}

func TestServeHTTPAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		listener := bufconn.Listen(1)
		if err := daemon.ServeHTTP(ctx, listener, slow(0), discard); err != nil {
			t.Errorf("got %v", err)
		}
	})
}

func TestRequestThatNeverEndsIsCutOff(t *testing.T) {
	for _, tt := range []struct{ name, sent string }{
		{"its headers", "GET / HTTP/1.1\r\nHost: edge\r\n"},
		{"its body", "POST / HTTP/1.1\r\nHost: edge\r\nContent-Length: 10\r\n\r\nabc"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := serve(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
				conn, err := s.listener.Dial()
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				defer time.AfterFunc(time.Hour, func() { _ = conn.Close() }).Stop()
				_, _ = io.WriteString(conn, tt.sent)
				start := time.Now()
				_, _ = io.Copy(io.Discard, conn) // until the server closes it
				if took := time.Since(start); took > time.Minute {
					t.Errorf("waited for it for %v", took)
				}
				s.stopped(t)
			})
		})
	}
}

// brokenListener fails at once.
type brokenListener struct{ net.Listener }

var errBroken = errors.New("broken")

func (brokenListener) Accept() (net.Conn, error) { return nil, errBroken }

func TestFailingListenerIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		err := daemon.ServeHTTP(t.Context(), brokenListener{bufconn.Listen(1)}, slow(0), discard)
		if !errors.Is(err, errBroken) || !strings.Contains(err.Error(), "bufconn") {
			t.Errorf("got %v, want what failed and where", err)
		}
	})
}
