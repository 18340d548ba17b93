package rpc

import (
	"context"
	"crypto/tls"
	"errors"
	"net"

	transport "google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/pkg/audit"
)

// secured returns the server's side of a connection, plain text without a
// configuration.
func secured(config *tls.Config, g guard) transport.TransportCredentials {
	if config == nil {
		return insecure.NewCredentials()
	}
	return telling{transport.NewTLS(config), g}
}

// telling tells the audit of clients whose certificate was refused. They learn
// it from TLS itself, and never get so far as to call anything.
type telling struct {
	transport.TransportCredentials
	guard guard
}

// ServerHandshake implements [transport.TransportCredentials].
func (t telling) ServerHandshake(raw net.Conn) (net.Conn, transport.AuthInfo, error) {
	conn, info, err := t.TransportCredentials.ServerHandshake(raw)
	if refused, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		claimed := ""
		if len(refused.UnverifiedCertificates) > 0 {
			claimed = access.Claimed(refused.UnverifiedCertificates[0])
		}
		t.guard.audit.Write(context.Background(), audit.Line{ // gRPC has no context for a handshake
			Action: "connect", Outcome: audit.Refused,
			More: audit.Texts("identity", claimed, "address", raw.RemoteAddr().String(), "reason", refused.Error()),
		})
	}
	return conn, info, err
}

// Clone implements [transport.TransportCredentials].
func (t telling) Clone() transport.TransportCredentials {
	return telling{t.TransportCredentials.Clone(), t.guard}
}
