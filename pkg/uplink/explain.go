package uplink

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"syscall"

	"google.golang.org/grpc/credentials"
)

// tlsCredentials are credentials for TLS. Their errors say what to do.
type tlsCredentials struct {
	credentials.TransportCredentials
	ownCAs         bool // the CAs are those of --ca-file, not the system's
	hasCertificate bool // this side presents a certificate
}

// ClientHandshake is the handshake of TLS.
func (e tlsCredentials) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := e.TransportCredentials.ClientHandshake(ctx, authority, raw)
	var record tls.RecordHeaderError
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	switch {
	case errors.As(err, &record):
		err = fmt.Errorf("%w: the broker there speaks no TLS: give it a certificate (`tls` in its configuration), "+
			"or use --insecure-broker where the network itself is protected", err)
	case errors.As(err, &unknown) && e.ownCAs:
		err = fmt.Errorf("%w: none of the CAs in --ca-file signed the broker's certificate", err)
	case errors.As(err, &unknown):
		err = fmt.Errorf("%w: if a CA of your own signed the broker's certificate, give it with --ca-file", err)
	case errors.As(err, &name):
		err = fmt.Errorf("%w: if the broker has a certificate for another name, give that with --server-name", err)
	}
	if err != nil {
		return nil, nil, err
	}
	why := hungUpOverTLS
	if e.hasCertificate {
		why = refusedCertificate
	}
	return &explainingConn{Conn: conn, why: why}, info, nil
}

// Clone returns a copy.
func (e tlsCredentials) Clone() credentials.TransportCredentials {
	e.TransportCredentials = e.TransportCredentials.Clone()
	return e
}

// refusedCertificate explains an error of a connection on which the broker has said
// nothing after the handshake. With TLS 1.3 the handshake of a client ends before the
// broker has seen the client's certificate. So a refusal shows here.
func refusedCertificate(err error) error {
	var alert *net.OpError
	switch {
	case errors.As(err, &alert) && alert.Op == "remote error": // crypto/tls has no type for it
		return fmt.Errorf("%w: the broker may have refused this side's certificate: see --cert-file", err)
	case isReset(err):
		return errRefused
	}
	return err
}

// hungUpOverTLS does the same as refusedCertificate for a side without a certificate.
func hungUpOverTLS(err error) error {
	if isReset(err) {
		return errHungUpOverTLS
	}
	return err
}

// isReset reports whether the other side has reset the connection. The first read or
// write after a reset gets ECONNRESET from the system. Later writes get EPIPE.
func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// These replace the system's errors, as errHungUp does. errRefused is for a broker whose
// TLS alert did not arrive.
var (
	errHungUpOverTLS = errors.New("the broker hung up right after the handshake: its log may say why")
	errRefused       = errors.New("the broker hung up right after the handshake: it may have refused this side's certificate: see --cert-file")
)

// plainCredentials are credentials for plain text. A broker that wants TLS hangs up on
// plain text without a word. The error says what that may mean.
type plainCredentials struct {
	credentials.TransportCredentials
}

// ClientHandshake is the handshake of plain text: nothing is exchanged.
func (p plainCredentials) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := p.TransportCredentials.ClientHandshake(ctx, authority, raw)
	if err != nil {
		return nil, nil, err
	}
	return &explainingConn{Conn: conn, why: hungUp}, info, nil
}

// Clone returns a copy.
func (p plainCredentials) Clone() credentials.TransportCredentials {
	return plainCredentials{p.TransportCredentials.Clone()}
}

// explainingConn is a connection that explains its errors until the broker has said
// something on it.
type explainingConn struct {
	net.Conn
	received atomic.Bool       // the broker has said something
	why      func(error) error // explains an error
}

// Read reads from the connection.
func (u *explainingConn) Read(b []byte) (int, error) {
	n, err := u.Conn.Read(b)
	if n > 0 && !u.received.Load() { // storing each time would cost more
		u.received.Store(true)
	}
	return n, u.explain(err)
}

// Write writes to the connection.
func (u *explainingConn) Write(b []byte) (int, error) {
	n, err := u.Conn.Write(b)
	return n, u.explain(err)
}

func (u *explainingConn) explain(err error) error {
	if err == nil || u.received.Load() {
		return err
	}
	return u.why(err)
}

// hungUp explains an error of a connection in plain text.
func hungUp(err error) error {
	if errors.Is(err, io.EOF) || isReset(err) {
		return errHungUp
	}
	return err
}

// errHungUp replaces the system's errors, which differ from one attempt to the next. A
// client that tries again and again logs only errors that are new.
var errHungUp = errors.New("the broker hung up without a word: if it speaks TLS, give --ca-file or --server-name")
