package daemon_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/test/bufconn"

	"github.com/wxbroker/wxbroker/pkg/daemon"
	"github.com/wxbroker/wxbroker/pkg/tlstest"
)

// secureSite is ServeHTTP over TLS in a bubble.
type secureSite struct {
	t        *testing.T
	listener *bufconn.Listener
	roots    *x509.CertPool
}

func serveTLS(t *testing.T, handler http.HandlerFunc) secureSite {
	t.Helper()
	ca := tlstest.NewCA(t, "ours")
	issued := ca.Issue(t)
	pair, err := tls.X509KeyPair(issued.Cert, issued.Key)
	if err != nil {
		t.Fatal(err)
	}
	s := secureSite{t, bufconn.Listen(64 << 10), x509.NewCertPool()}
	s.roots.AddCert(ca.Cert)
	config := &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2", "http/1.1"}, MinVersion: tls.VersionTLS13}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- daemon.ServeHTTP(ctx, tls.NewListener(s.listener, config), handler, discard) }()
	t.Cleanup(func() {
		began := time.Now()
		stop()
		if err := <-served; err != nil || time.Since(began) > 10*time.Second {
			t.Errorf("ServeHTTP returned %v after %v", err, time.Since(began))
		}
	})
	return s
}

// dial returns a connection below TLS.
func (s secureSite) dial() net.Conn {
	s.t.Helper()
	raw, err := s.listener.Dial()
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = raw.Close() })
	return raw
}

// speak returns a connection over TLS, with the handshake done for a protocol.
func (s secureSite) speak(protocol string) net.Conn {
	s.t.Helper()
	conn := tls.Client(s.dial(), &tls.Config{
		RootCAs: s.roots, ServerName: tlstest.DNSName, NextProtos: []string{protocol}, MinVersion: tls.VersionTLS13,
	})
	if err := conn.Handshake(); err != nil {
		s.t.Fatal(err)
	}
	return conn
}

// closedAfter returns how long it takes until the server closes conn.
func closedAfter(conn net.Conn) time.Duration {
	defer time.AfterFunc(time.Hour, func() { _ = conn.Close() }).Stop()
	began := time.Now()
	_, _ = io.Copy(io.Discard, conn)
	return time.Since(began)
}

// The server does not wait for a slow client, at whatever point the client is slow.
func TestSlowClientsOverTLS(t *testing.T) {
	say := func(t *testing.T, conn net.Conn, what string) net.Conn {
		t.Helper()
		if _, err := io.WriteString(conn, what); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	// open begins HTTP/2, and a stream if there are headers.
	open := func(t *testing.T, conn net.Conn, headers http2.HeadersFrameParam) net.Conn {
		t.Helper()
		framer := http2.NewFramer(say(t, conn, http2.ClientPreface), nil)
		if err := framer.WriteSettings(); err != nil {
			t.Fatal(err)
		}
		if headers.StreamID != 0 {
			if err := framer.WriteHeaders(headers); err != nil {
				t.Fatal(err)
			}
		}
		return conn
	}
	// :method GET, :path /, :scheme https, in HPACK; and POST.
	get, post := []byte{0x82, 0x84, 0x87}, []byte{0x83, 0x84, 0x87}
	for _, tt := range []struct {
		name  string
		start func(*testing.T, secureSite) net.Conn
		bound time.Duration
	}{
		{"says nothing", func(_ *testing.T, s secureSite) net.Conn { return s.dial() }, 11 * time.Second},
		{"begins a handshake", func(t *testing.T, s secureSite) net.Conn {
			return say(t, s.dial(), "\x16\x03\x01\x02\x00\x01")
		}, 11 * time.Second},
		{"speaks plain text", func(t *testing.T, s secureSite) net.Conn {
			return say(t, s.dial(), "GET / HTTP/1.1\r\nHost: edge\r\n\r\n")
		}, 11 * time.Second},
		{"HTTP/1.1, no request", func(_ *testing.T, s secureSite) net.Conn { return s.speak("http/1.1") }, 11 * time.Second},
		{"HTTP/1.1, headers without end", func(t *testing.T, s secureSite) net.Conn {
			return say(t, s.speak("http/1.1"), "GET / HTTP/1.1\r\nHost: edge\r\n")
		}, 11 * time.Second},
		{"HTTP/1.1, a body without end", func(t *testing.T, s secureSite) net.Conn {
			return say(t, s.speak("http/1.1"), "POST / HTTP/1.1\r\nHost: edge\r\nContent-Length: 10\r\n\r\nabc")
		}, time.Minute},
		{"HTTP/2, no preface", func(_ *testing.T, s secureSite) net.Conn { return s.speak("h2") }, 11 * time.Second},
		{"HTTP/2, no request", func(t *testing.T, s secureSite) net.Conn {
			return open(t, s.speak("h2"), http2.HeadersFrameParam{})
		}, 130 * time.Second},
		{"HTTP/2, headers without end", func(t *testing.T, s secureSite) net.Conn {
			return open(t, s.speak("h2"), http2.HeadersFrameParam{StreamID: 1, BlockFragment: get})
		}, 130 * time.Second},
		{"HTTP/2, a body without end", func(t *testing.T, s secureSite) net.Conn {
			return open(t, s.speak("h2"), http2.HeadersFrameParam{StreamID: 1, BlockFragment: post, EndHeaders: true})
		}, 150 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := serveTLS(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
				if took := closedAfter(tt.start(t, s)); took > tt.bound {
					t.Errorf("it was borne for %v", took)
				}
			})
		})
	}
}

// Input that is no HTTP, or far too much of it, keeps nobody else from being served.
func TestNonsenseDoesNotDisturb(t *testing.T) {
	megabyte := "GET / HTTP/1.1\r\nHost: edge\r\nX: " + strings.Repeat("x", 1<<20) + "\r\n\r\n"
	for _, tt := range []struct{ name, sent, answered string }{
		{"a megabyte of headers", megabyte, "431"},
		{"a request line of a megabyte", "GET /" + strings.Repeat("x", 1<<20), "431"},
		{"random bytes", "\x16\x03\x01\x8a\xff\x00\n\x00\r\n\r\n\x80", "400"},
		{"the preface of HTTP/2", http2.ClientPreface, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := serve(t, slow(0))
				conn, err := s.listener.Dial()
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				go func() { _, _ = io.WriteString(conn, tt.sent) }()
				if a := <-s.ask(); a.err != nil || a.body != "done" {
					t.Errorf("another one got %q, %v", a.body, a.err)
				}
				defer time.AfterFunc(time.Hour, func() { _ = conn.Close() }).Stop()
				began := time.Now()
				said, _ := io.ReadAll(conn)
				if !strings.Contains(string(said), " "+tt.answered) || time.Since(began) > 20*time.Second {
					t.Errorf("answered %.60q after %v", said, time.Since(began))
				}
				s.stopped(t)
			})
		})
	}
}

// TestAnswersThatNobodyTakes are cut off: a client that asks and does not read cannot
// hold a connection for ever, however much it asks.
func TestAnswersThatNobodyTakes(t *testing.T) {
	const get = "GET / HTTP/1.1\r\nHost: edge\r\n\r\n"
	// ask asks over HTTP/2, with room for so much of the answer.
	ask := func(t *testing.T, conn net.Conn, window uint32) {
		t.Helper()
		if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
			t.Fatal(err)
		}
		framer := http2.NewFramer(conn, nil)
		for _, err := range []error{
			framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: window}),
			framer.WriteWindowUpdate(0, 1<<30),
			framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x82, 0x84, 0x87}, EndHeaders: true, EndStream: true}),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, tt := range []struct {
		name, protocol string
		ask            func(*testing.T, net.Conn)
	}{
		{"HTTP/1.1", "http/1.1", func(_ *testing.T, conn net.Conn) { _, _ = io.WriteString(conn, get) }},
		{"HTTP/1.1, asked again and again", "http/1.1", func(_ *testing.T, conn net.Conn) {
			go func() {
				for {
					if _, err := io.WriteString(conn, get); err != nil {
						return
					}
				}
			}()
		}},
		{"HTTP/2", "h2", func(t *testing.T, conn net.Conn) { ask(t, conn, 1<<30) }},
		{"HTTP/2, which is not let send", "h2", func(t *testing.T, conn net.Conn) { ask(t, conn, 1) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began, cut := time.Now(), make(chan time.Duration, 1)
				s := serveTLS(t, func(w http.ResponseWriter, _ *http.Request) {
					for {
						if _, err := w.Write(make([]byte, 1<<20)); err != nil {
							cut <- time.Since(began)
							return
						}
					}
				})
				conn := s.speak(tt.protocol)
				tt.ask(t, conn)
				time.Sleep(time.Hour)
				if len(cut) == 0 {
					t.Fatal("it is still being sent")
				}
				if after := <-cut; after < 20*time.Second || after > 26*time.Second { // TLS may take five for its farewell
					t.Errorf("it was cut off after %v", after)
				}
				if more := closedAfter(conn); more > 0 {
					t.Errorf("the connection was open after an hour, and for %v more", more)
				}
			})
		})
	}
}
