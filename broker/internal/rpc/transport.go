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

// transportCredentials returns the server's side of a connection's handshake. Without a
// configuration the connection is plain text.
func transportCredentials(config *tls.Config, log audit.Log) transport.TransportCredentials {
	if config == nil {
		return handshaker{insecure.NewCredentials(), log}
	}
	return handshaker{transport.NewTLS(config), log}
}

// handshaker makes the handshake of a connection. It records in the audit the clients
// whose certificate was refused. TLS itself tells these clients, before they could call
// anything. It also tells the listener's cap on connections that this connection has
// not yet brought a call of a known caller.
type handshaker struct {
	transport.TransportCredentials
	audit audit.Log
}

// connection is what the handshake found out about a connection.
type connection struct {
	transport.AuthInfo
	markUsed func() // tells the listener that a known caller has called
}

// ServerHandshake implements [transport.TransportCredentials].
func (h handshaker) ServerHandshake(raw net.Conn) (net.Conn, transport.AuthInfo, error) {
	markUsed := daemon.Await(raw)
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
	return conn, connection{info, markUsed}, nil
}

// Clone implements [transport.TransportCredentials].
func (h handshaker) Clone() transport.TransportCredentials {
	return handshaker{h.TransportCredentials.Clone(), h.audit}
}

// onConnection returns a context whose peer has TLS's own information. markUsed tells
// the listener that a known caller has called on this connection.
func onConnection(ctx context.Context) (_ context.Context, markUsed func()) {
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
	return peer.NewContext(ctx, &plain), c.markUsed
}
