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

// explained are the credentials of TLS, whose errors say what to do.
type explained struct {
	credentials.TransportCredentials
	ownCAs bool // that is, not the system's
	proves bool // who this is, with a certificate
}

// ClientHandshake is that of TLS.
func (e explained) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
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
	if e.proves {
		why = refusedCertificate
	}
	return &unheard{Conn: conn, why: why}, info, nil
}

// Clone returns a copy.
func (e explained) Clone() credentials.TransportCredentials {
	e.TransportCredentials = e.TransportCredentials.Clone()
	return e
}

// refusedCertificate explains an error of a connection on which the broker has
// said nothing after the handshake. With TLS 1.3 a client is done before the
// broker has seen its certificate, so this is where a refusal shows.
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

// hungUpOverTLS is refusedCertificate where this side has shown none.
func hungUpOverTLS(err error) error {
	if isReset(err) {
		return errHungUpOverTLS
	}
	return err
}

// isReset reports whether the other side has reset the connection. The system
// says ECONNRESET once, to whoever reads or writes first, and EPIPE to whoever
// writes after that.
func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// These take the place of the system's words, as errHungUp does. errRefused is
// for a broker whose alert did not arrive.
var (
	errHungUpOverTLS = errors.New("the broker hung up right after the handshake: its log may say why")
	errRefused       = errors.New("the broker hung up right after the handshake: it may have refused this side's certificate: see --cert-file")
)

// plain are the credentials of plain text. Where the broker wants TLS instead,
// it hangs up without a word, and the error says what that may mean.
type plain struct {
	credentials.TransportCredentials
}

// ClientHandshake is that of plain text, which consists of nothing.
func (p plain) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := p.TransportCredentials.ClientHandshake(ctx, authority, raw)
	if err != nil {
		return nil, nil, err
	}
	return &unheard{Conn: conn, why: hungUp}, info, nil
}

// Clone returns a copy.
func (p plain) Clone() credentials.TransportCredentials { return plain{p.TransportCredentials.Clone()} }

// unheard is a connection on which the broker may not have said anything yet.
type unheard struct {
	net.Conn
	heard atomic.Bool
	why   func(error) error // explains an error
}

// Read reads from the connection.
func (u *unheard) Read(b []byte) (int, error) {
	n, err := u.Conn.Read(b)
	if n > 0 && !u.heard.Load() { // storing each time would cost more
		u.heard.Store(true)
	}
	return n, u.explain(err)
}

// Write writes to the connection.
func (u *unheard) Write(b []byte) (int, error) {
	n, err := u.Conn.Write(b)
	return n, u.explain(err)
}

func (u *unheard) explain(err error) error {
	if err == nil || u.heard.Load() {
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

// errHungUp takes the place of the system's words, which differ from one time
// to the next: who tries again and again logs what is new.
var errHungUp = errors.New("the broker hung up without a word: if it speaks TLS, give --ca-file or --server-name")
