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
	return conn, info, err
}

// Clone returns a copy.
func (e explained) Clone() credentials.TransportCredentials {
	return explained{e.TransportCredentials.Clone(), e.ownCAs}
}

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
	return &unheard{Conn: conn}, info, nil
}

// Clone returns a copy.
func (p plain) Clone() credentials.TransportCredentials { return plain{p.TransportCredentials.Clone()} }

// unheard is a connection on which the broker may not have said anything yet.
type unheard struct {
	net.Conn
	heard atomic.Bool
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
	switch {
	case err == nil || u.heard.Load():
		return err
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return errHungUp
	}
	return err
}

// errHungUp takes the place of the system's words, which differ from one time
// to the next: who tries again and again logs what is new.
var errHungUp = errors.New("the broker hung up without a word: if it speaks TLS, give --ca-file or --server-name")
