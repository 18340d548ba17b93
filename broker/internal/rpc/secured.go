package rpc

import (
	"context"
	"crypto/tls"
	"errors"
	"net"

	transport "google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/peer"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/broker/internal/audit"
	"github.com/wxbroker/wxbroker/pkg/daemon"
)

// secured returns the server's side of a connection, plain text without a
// configuration.
func secured(config *tls.Config, log audit.Log) transport.TransportCredentials {
	if config == nil {
		return handshaker{insecure.NewCredentials(), log}
	}
	return handshaker{transport.NewTLS(config), log}
}

// handshaker tells the audit of clients whose certificate was refused: they learn
// it from TLS itself, and never get so far as to call anything. And it tells
// the listener's cap that a connection has yet to bring a call of somebody's
// who is known.
type handshaker struct {
	transport.TransportCredentials
	audit audit.Log
}

// connection is what is known of a connection.
type connection struct {
	transport.AuthInfo
	used func() // says that somebody who is known has called
}

// ServerHandshake implements [transport.TransportCredentials].
func (h handshaker) ServerHandshake(raw net.Conn) (net.Conn, transport.AuthInfo, error) {
	used := daemon.Await(raw)
	conn, info, err := h.TransportCredentials.ServerHandshake(raw)
	if refused, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		claimed := ""
		if len(refused.UnverifiedCertificates) > 0 {
			claimed = access.Claimed(refused.UnverifiedCertificates[0])
		}
		h.audit.RefusedCertificate(claimed, raw.RemoteAddr().String(), refused)
	}
	if err != nil {
		return nil, nil, err
	}
	return conn, connection{info, used}, nil
}

// Clone implements [transport.TransportCredentials].
func (h handshaker) Clone() transport.TransportCredentials {
	return handshaker{h.TransportCredentials.Clone(), h.audit}
}

// onConnection returns a context whose peer is as TLS knows it, and what says
// that somebody who is known has called.
func onConnection(ctx context.Context) (_ context.Context, used func()) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return ctx, func() {}
	}
	c, ok := p.AuthInfo.(connection)
	if !ok {
		return ctx, func() {}
	}
	plain := *p
	plain.AuthInfo = c.AuthInfo
	return peer.NewContext(ctx, &plain), c.used
}
