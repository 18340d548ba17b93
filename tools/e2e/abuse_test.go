package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"

	"github.com/wxbroker/wxbroker/pkg/wechatsim"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// port is one listener of the two programs, as a regular client uses it.
type port struct {
	name, address string
	secured       bool // TLS
	http          bool
	metrics       string // address of its program's ops listener
	label         string // in the metrics of connections
	use           func(context.Context) error
}

// ports returns all four.
func (o *organisation) ports(t *testing.T) []port {
	t.Helper()
	page := func(address string) func(context.Context) error {
		return func(ctx context.Context) error {
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
			if err != nil {
				return err
			}
			response, err := o.client.Do(request)
			if err != nil {
				return err
			}
			defer response.Body.Close()
			if response.StatusCode != http.StatusOK {
				return errors.New(response.Status)
			}
			_, err = io.Copy(io.Discard, response.Body)
			return err
		}
	}
	return []port{
		{"the broker's gRPC", o.grpc, true, false, o.brokerOps, "grpc", o.status},
		{"the broker's ops", o.brokerOps, false, true, o.brokerOps, "ops", page("http://" + o.brokerOps + "/healthz")},
		{"the edge's API", o.listen, true, true, o.edgeOps, "listen", page("https://" + o.listen + signPath)},
		{"the edge's ops", o.edgeOps, false, true, o.edgeOps, "ops", page("http://" + o.edgeOps + "/readyz")},
	}
}

func (o *organisation) tls() *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(o.ca.Cert)
	return &tls.Config{RootCAs: pool, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS13}
}

// status asks the broker over a connection of its own.
func (o *organisation) status(ctx context.Context) error {
	conn, err := grpc.NewClient(o.grpc, grpc.WithTransportCredentials(credentials.NewTLS(o.tls())))
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+operatorToken)
	_, err = wxbrokerv1.NewOperatorServiceClient(conn).GetStatus(ctx, new(wxbrokerv1.GetStatusRequest))
	return err
}

// dial connects to a port as an attacker may, over TLS where the port has that.
func (o *organisation) dial(ctx context.Context, p port) (net.Conn, error) {
	if p.secured {
		config := o.tls()
		if !p.http {
			config.NextProtos = []string{"h2"}
		}
		return (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", p.address)
	}
	return new(net.Dialer).DialContext(ctx, "tcp", p.address)
}

// connections returns what a program says of a listener's connections. The connection on
// which it is asked may be among them.
func connections(t *testing.T, p port) (open, limit, turnedAway int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var page []byte
	var err error
	if !until(ctx, func() bool {
		_, page, err = get(ctx, "http://"+p.metrics+"/metrics")
		return err == nil
	}) {
		t.Fatalf("the metrics of %s: %v", p.name, err)
	}
	value := func(name string) int {
		m := regexp.MustCompile(`(?m)^wx(?:broker|edge)_connections` + name + `\{listener="` + p.label + `"\} (\S+)$`).FindSubmatch(page)
		if m == nil {
			t.Fatalf("no metric of %s's connections%s", p.name, name)
		}
		n, err := strconv.ParseFloat(string(m[1]), 64)
		must(t, err)
		return int(n)
	}
	return value(""), value("_limit"), value("_refused_total") + value("_evicted_total")
}

// served uses the port until it answers, for the time within at most. A single refusal is
// allowed, since there is a cap. Nobody may be kept out for longer.
func (p port) served(t *testing.T, within time.Duration, when string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	var err error
	if !until(ctx, func() bool { err = p.use(ctx); return err == nil }) {
		t.Fatalf("%s: %s serves nobody for %v: %v", when, p.name, within, err)
	}
}

// sendSlowly begins a request and sends a byte now and then, until the connection is
// closed.
func (o *organisation) sendSlowly(ctx context.Context, p port, first string) {
	conn, err := o.dial(ctx, p)
	if err != nil {
		return // there was no room
	}
	defer conn.Close()
	thrownOut := make(chan struct{})
	go func() {
		defer close(thrownOut)
		_, _ = io.Copy(io.Discard, conn)
	}()
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	for next := first; err == nil; next = "x" {
		_, err = io.WriteString(conn, next)
		select {
		case <-ctx.Done():
			return
		case <-thrownOut:
			return
		case <-tick.C:
		}
	}
}

const frameSettings = "\x00\x00\x00\x04\x00\x00\x00\x00\x00"

// TestAbuse: each port, over TLS where it has that, meets slow senders, clients that hoard
// connections, headers of a megabyte and noise. Others are served all the same, the cap
// holds, and the edge's stream is not lost.
func TestAbuse(t *testing.T) {
	const maxConnections = 60
	o := startOrganisation(t, wechatsim.Settings{}, maxConnections)
	noise := rand.NewChaCha8([32]byte{1})
	for _, p := range o.ports(t) {
		p.served(t, 10*time.Second, "at first")
		_, limit, _ := connections(t, p)
		if want := map[string]int{"ops": 100}[p.label]; limit != max(want, maxConnections) {
			t.Errorf("%s holds %d connections at most", p.name, limit)
		}

		t.Run(p.name+"/noise", func(t *testing.T) {
			for i := range 40 {
				dial := o.dial
				if i%2 == 1 { // below TLS, too
					dial = func(ctx context.Context, p port) (net.Conn, error) {
						return new(net.Dialer).DialContext(ctx, "tcp", p.address)
					}
				}
				conn, err := dial(t.Context(), p)
				must(t, err)
				junk := make([]byte, 1+i*100)
				_, _ = noise.Read(junk) // never fails
				_, _ = conn.Write(junk) // it may hang up in the middle
				_ = conn.Close()
			}
			p.served(t, 5*time.Second, "after noise")
		})

		t.Run(p.name+"/a megabyte of headers", func(t *testing.T) {
			conn, err := o.dial(t.Context(), p)
			must(t, err)
			defer conn.Close()
			must(t, conn.SetDeadline(time.Now().Add(15*time.Second)))
			if p.http {
				_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nX-Long: "+strings.Repeat("x", 1<<20)+"\r\n\r\n")
				answer, _ := io.ReadAll(conn) // until it hangs up
				if !bytes.HasPrefix(answer, []byte("HTTP/1.1 431")) && err == nil {
					t.Errorf("answered %.40q", answer)
				}
			} else {
				ctx := metadata.AppendToOutgoingContext(t.Context(), "x-long", strings.Repeat("x", 1<<20))
				if err := o.status(ctx); err == nil {
					t.Error("taken")
				}
			}
			p.served(t, 5*time.Second, "after a megabyte of headers")
		})

		t.Run(p.name+"/one idle connection more than there is room for", func(t *testing.T) {
			_, _, before := connections(t, p)
			for range limit + 1 {
				conn, err := o.dial(t.Context(), port{address: p.address}) // nothing is said
				must(t, err)
				t.Cleanup(func() { _ = conn.Close() })
			}
			p.served(t, 5*time.Second, "beside hoarded connections")
			open, _, after := connections(t, p)
			if open > limit || after <= before {
				t.Errorf("%d connections are open, %d at most; %d were turned away, %d before", open, limit, after, before)
			}
		})

		t.Run(p.name+"/slow senders", func(t *testing.T) {
			first := "GET / HTTP/1.1\r\nX-"
			if !p.http {
				first = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frameSettings + "\x00\x20" // and the beginning of a frame of 8 KiB
			}
			o.besideSlow(t, p, limit, first, 10)
		})

		if p.address != o.listen {
			continue
		}
		t.Run(p.name+"/slow senders of a body", func(t *testing.T) { // to the one path that anybody may ask
			o.besideSlow(t, p, limit, "POST /sns/userinfo?access_token=x HTTP/1.1\r\nHost: x\r\nContent-Length: 65536\r\n\r\n", 3)
		})
	}
	if said := o.edge.rest(); strings.Contains(said, "stream from the broker ended") {
		t.Errorf("the edge lost its stream: %s", said)
	}
	for _, p := range []*process{o.broker, o.edge} {
		select {
		case <-p.done:
			t.Errorf("%s ended", p.command.Path)
		default:
		}
	}
}

// besideSlow uses a port that is full of slow senders, times times. Each slow sender
// begins with first.
func (o *organisation) besideSlow(t *testing.T, p port, limit int, first string, times int) {
	t.Helper()
	_, _, before := connections(t, p)
	ctx, stop := context.WithCancel(t.Context())
	var senders sync.WaitGroup
	defer senders.Wait()
	defer stop()
	for range limit + 1 {
		senders.Go(func() {
			until(ctx, func() bool {
				o.sendSlowly(ctx, p, first)
				return false // it was closed, and another comes soon
			})
		})
	}
	for i := range times {
		when := fmt.Sprint("beside slow senders, time ", i)
		full, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		isFull := until(full, func() bool { open, _, _ := connections(t, p); return open >= limit })
		cancel()
		if !isFull {
			t.Fatalf("%s: they do not get %d connections", when, limit)
		}
		p.served(t, 10*time.Second, when)
	}
	open, _, after := connections(t, p)
	if open > limit || after <= before {
		t.Errorf("%d connections are open, %d at most; %d were turned away, %d before", open, limit, after, before)
	}
}
