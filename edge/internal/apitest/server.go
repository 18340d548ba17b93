package apitest

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Serve runs an API behind a server with the timeouts of the program's, in a bubble,
// and returns what connects to it.
func Serve(api http.Handler) (dial func() net.Conn, stop func()) {
	listener := pipes{make(chan net.Conn), make(chan struct{})}
	server := &http.Server{Handler: api, ReadTimeout: 10 * time.Second, WriteTimeout: 20 * time.Second, Protocols: new(http.Protocols)}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	go func() { _ = server.Serve(listener) }()
	return func() net.Conn {
		ours, theirs := net.Pipe()
		listener.conns <- theirs
		return ours
	}, func() { _ = server.Close() }
}

// pipes listens in memory. Unlike bufconn's, its connections mind a deadline
// that has passed, as those of the network do.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p pipes) Close() error   { close(p.closed); return nil }
func (p pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes", Net: "unix"} }

// OverBoth runs a test with a client of HTTP/1.1 and with one of HTTP/2, each in a
// bubble of its own with an API of its own.
func OverBoth(t *testing.T, api func(*testing.T) http.Handler, test func(*testing.T, *http.Client)) {
	t.Helper()
	for _, version := range []int{1, 2} {
		t.Run(fmt.Sprint("HTTP ", version), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dial, stop := Serve(api(t))
				defer stop()
				transport := &http.Transport{
					DialContext: func(context.Context, string, string) (net.Conn, error) { return dial(), nil },
					Protocols:   new(http.Protocols),
				}
				defer transport.CloseIdleConnections()
				transport.Protocols.SetHTTP1(version == 1)
				transport.Protocols.SetUnencryptedHTTP2(version == 2)
				test(t, &http.Client{Transport: transport})
			})
		})
	}
}

// Ask sends a request with the local key and returns what is answered.
func Ask(client *http.Client, method, path string, body io.Reader) (string, error) {
	r, _ := http.NewRequestWithContext(context.Background(), method, "http://edge"+path, body)
	response, err := client.Do(WithKey(r))
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	return string(answer), err
}

// Trickle is a request's body that has a byte every 15 s, after some that it has at
// once, until it is closed or an hour has passed. Make it with NewTrickle.
type Trickle struct {
	atOnce io.Reader
	ends   time.Time
	once   sync.Once
	closed chan struct{}
}

// NewTrickle returns a Trickle that has so many bytes at once.
func NewTrickle(atOnce int) *Trickle {
	return &Trickle{atOnce: strings.NewReader(strings.Repeat("a", atOnce)), ends: time.Now().Add(time.Hour), closed: make(chan struct{})}
}

// Read implements io.Reader.
func (r *Trickle) Read(p []byte) (int, error) {
	if n, err := r.atOnce.Read(p); err == nil {
		return n, nil
	}
	if time.Now().After(r.ends) {
		return 0, io.EOF
	}
	select {
	case <-r.closed:
		return 0, io.ErrClosedPipe
	case <-time.After(15 * time.Second):
		return copy(p, "a"), nil
	}
}

// Close ends it.
func (r *Trickle) Close() error {
	r.once.Do(func() { close(r.closed) })
	return nil
}
