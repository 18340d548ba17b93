package uplink_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/pkg/tlsfile"
	"github.com/wxbroker/wxbroker/pkg/tlstest"
	"github.com/wxbroker/wxbroker/pkg/uplink"
)

// If the two sides do not agree, the error says what to do.
func TestErrorsSayWhatToDo(t *testing.T) {
	dir := t.TempDir()
	ca := tlstest.NewCA(t, "ours")
	caFile, otherFile := ca.Write(t, dir), tlstest.NewCA(t, "other").Write(t, t.TempDir())
	cert, key := ca.Issue(t).Write(t, dir)
	overTLS, inPlain := serve(t, tlsfile.Files{Cert: cert, Key: key}), serve(t, tlsfile.Files{})
	const dns = tlstest.DNSName + ":7600"
	for _, tt := range []struct {
		name    string
		broker  *broker
		address string
		flags   uplink.Flags
		says    string
	}{
		{"its DNS name", overTLS, dns, uplink.Flags{CAFile: caFile}, ""},
		{"its address", overTLS, "192.0.2.1:7600", uplink.Flags{CAFile: caFile}, ""},
		{"its IPv6 address", overTLS, "[2001:db8::1]:7600", uplink.Flags{CAFile: caFile}, ""},
		{"loopback", overTLS, "127.0.0.1:7600", uplink.Flags{CAFile: caFile}, ""},
		{"the name that is given", overTLS, "10.0.0.1:7600", uplink.Flags{CAFile: caFile, ServerName: tlstest.DNSName}, ""},
		{"a unix socket", overTLS, "unix:/run/wxbroker.sock", uplink.Flags{CAFile: caFile, ServerName: tlstest.DNSName}, ""},
		{"plain text", inPlain, "127.0.0.1:7600", uplink.Flags{}, ""},
		{"plain text from afar", inPlain, "192.0.2.1:7600", uplink.Flags{InsecureBroker: true}, ""},

		{"another name", overTLS, "10.0.0.1:7600", uplink.Flags{CAFile: caFile}, "give that with --server-name"},
		{"another name is given", overTLS, dns, uplink.Flags{CAFile: caFile, ServerName: "edge"}, "give that with --server-name"},
		{"a CA of our own, not given", overTLS, dns, uplink.Flags{}, "give it with --ca-file"},
		{"another CA", overTLS, dns, uplink.Flags{CAFile: otherFile}, "none of the CAs in --ca-file signed"},
		{"no TLS there", inPlain, "192.0.2.1:7600", uplink.Flags{}, "the broker there speaks no TLS: give it a certificate (`tls` in its configuration), or use --insecure-broker"},
		{"only TLS there", overTLS, "127.0.0.1:7600", uplink.Flags{}, ": the broker hung up without a word: if it speaks TLS, give --ca-file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			link, err := tt.flags.Open(t.Context(), tt.address)
			if err != nil {
				t.Fatal(err)
			}
			err = tt.broker.call(t, link)
			switch {
			case tt.says == "" && err != nil:
				t.Error(err)
			case tt.says != "" && (status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), tt.says)):
				t.Errorf("%v, want that it says %q", err, tt.says)
			}
		})
	}
}

// A broker that refuses a client certificate shows it after the handshake, by an alert
// or by hanging up.
func TestCertificateThatIsRefused(t *testing.T) {
	ca, other := tlstest.NewCA(t, "ours"), tlstest.NewCA(t, "other")
	caFile := ca.Write(t, t.TempDir())
	serverCert, serverKey := ca.Issue(t).Write(t, t.TempDir())
	demanding := serve(t, tlsfile.Files{Cert: serverCert, Key: serverKey, CA: caFile})
	expired := func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }
	const says = "may have refused this side's certificate: see --cert-file"
	const withoutOne = "the broker hung up right after the handshake: its log may say why"
	for _, tt := range []struct {
		name   string
		broker *broker
		shows  *tlstest.Pair
		says   string // "" if the client is let in
	}{
		{"a good one", demanding, new(ca.Issue(t)), ""},
		{"none", demanding, nil, ""},
		{"one of another CA", demanding, new(other.Issue(t)), says},
		{"one that has expired", demanding, new(ca.Issue(t, expired)), says},
		{"hung up on", hangsUp(t, serverCert, serverKey), new(ca.Issue(t)), says},
		{"hung up on, heard late", heardLate(hangsUp(t, serverCert, serverKey)), new(ca.Issue(t)), says},
		{"hung up on without one", hangsUp(t, serverCert, serverKey), nil, withoutOne},
		{"hung up on without one, heard late", heardLate(hangsUp(t, serverCert, serverKey)), nil, withoutOne},
	} {
		t.Run(tt.name, func(t *testing.T) {
			flags := uplink.Flags{CAFile: caFile}
			if tt.shows != nil {
				flags.CertFile, flags.KeyFile = tt.shows.Write(t, t.TempDir())
			}
			link, err := flags.Open(t.Context(), tlstest.DNSName+":7600")
			if err != nil {
				t.Fatal(err)
			}
			err = tt.broker.call(t, link)
			switch {
			case tt.says == "" && err != nil:
				t.Error(err)
			case tt.says != "" && (status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), tt.says)):
				t.Errorf("%v, want that it says %q", err, tt.says)
			case tt.shows == nil && err != nil && strings.Contains(err.Error(), "--cert-file"):
				t.Errorf("%v, though no certificate was shown", err)
			}
		})
	}
}

// hangsUp returns a broker that resets each connection after the handshake.
func hangsUp(t *testing.T, certFile, keyFile string) *broker {
	t.Helper()
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	config := &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2"}, ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS13}
	go func() {
		for {
			raw, err := listener.Accept()
			if err != nil {
				return
			}
			_ = tls.Server(raw, config).HandshakeContext(t.Context())
			_ = raw.(*net.TCPConn).SetLinger(0) // so that closing it resets it
			_ = raw.Close()
		}
	}()
	return &broker{dial: func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", listener.Addr().String())
	}}
}

// heardLate returns the same broker, over connections that return EPIPE where the system
// returns ECONNRESET. The system returns ECONNRESET once, and it is a matter of luck
// whether a read or a write gets it. Later writes get EPIPE.
func heardLate(b *broker) *broker {
	return &broker{dial: func(ctx context.Context) (net.Conn, error) {
		conn, err := b.dial(ctx)
		return lateConn{conn}, err
	}}
}

// lateConn is a connection on which ECONNRESET was returned already.
type lateConn struct{ net.Conn }

func (l lateConn) Read(b []byte) (int, error) {
	n, err := l.Conn.Read(b)
	return n, tooLate(err)
}

func (l lateConn) Write(b []byte) (int, error) {
	n, err := l.Conn.Write(b)
	return n, tooLate(err)
}

func tooLate(err error) error {
	if errors.Is(err, syscall.ECONNRESET) {
		return syscall.EPIPE
	}
	return err
}

// A connection that breaks later needs no explanation.
func TestBrokerThatStops(t *testing.T) {
	b := serve(t, tlsfile.Files{})
	conn := b.connect(t, open(t, uplink.Flags{}, "127.0.0.1:7600"))
	failed := make(chan error, 1)
	go func() {
		_, err := grpc_health_v1.NewHealthClient(conn).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: "hold"})
		failed <- err
	}()
	<-b.held
	b.stop()
	if err := <-failed; status.Code(err) != codes.Unavailable || strings.Contains(err.Error(), "without a word") {
		t.Error(err)
	}
}

// The client presents the certificate that the files hold when it connects.
func TestRunFollowsTheFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		ca := tlstest.NewCA(t, "ours")
		caFile := ca.Write(t, dir)
		serverCert, serverKey := ca.Issue(t).Write(t, t.TempDir())
		b := serveInBubble(t, tlsfile.Files{Cert: serverCert, Key: serverKey, CA: caFile})
		first, second := ca.Issue(t), ca.Issue(t)
		cert, key := first.Write(t, dir)
		link := open(t, uplink.Flags{CAFile: caFile, CertFile: cert, KeyFile: key}, tlstest.DNSName+":7600")
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); link.Run(ctx, slog.New(slog.DiscardHandler)) }()
		defer func() { stop(); <-ended }()

		presents := func(want tlstest.Pair) {
			t.Helper()
			if err := b.call(t, link); err != nil {
				t.Fatal(err)
			}
			if _, serial := b.last(); serial != want.Serial() {
				t.Errorf("presented %s, want %s", serial, want.Serial())
			}
		}
		presents(first)
		second.Write(t, dir)
		time.Sleep(5 * time.Second)
		presents(second)
	})
}

// In plain text there is nothing to follow, and Run ends all the same.
func TestRunInPlainText(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithTimeout(t.Context(), time.Hour)
		defer stop()
		began := time.Now()
		open(t, uplink.Flags{}, "127.0.0.1:7600").Run(ctx, slog.New(slog.DiscardHandler))
		if took := time.Since(began); took != time.Hour {
			t.Errorf("it ran for %v", took)
		}
	})
}
