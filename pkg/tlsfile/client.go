package tlsfile

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
)

// Client returns the configuration of a client that presents the current certificate,
// if there is one. It verifies the server's certificate with the current CAs and for
// serverName, a DNS name or an IP address.
//
// The name is fixed here, and a client without a name refuses every server. The name
// is not taken from the handshake, although gRPC and net/http would fill it in there:
// for an IP address the name in a handshake is empty, and a certificate that is
// verified for no name is good for any.
func (s *Source) Client(serverName string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		ServerName: serverName,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			// It is presented even if the server does not list its CA: the error "unknown
			// authority" tells more than "no certificate".
			if pair := s.current.Load().pair; pair != nil {
				return pair, nil
			}
			return new(tls.Certificate), nil
		},
		// RootCAs cannot follow a file. So verify does, on every connection, what
		// crypto/tls would do with RootCAs.
		InsecureSkipVerify: true, //nolint:gosec // VerifyConnection verifies
		VerifyConnection: func(state tls.ConnectionState) error {
			return s.verify(state.PeerCertificates, serverName)
		},
	}
}

// verify verifies a server's certificate with the current CAs: that a chain leads to
// one of them, that each certificate of the chain is valid now and may be used for a
// server, and that the certificate is for this name. crypto/tls has checked before that
// the server has the key.
func (s *Source) verify(presented []*x509.Certificate, serverName string) error {
	switch {
	case serverName == "":
		return errors.New("no name to hold the server's certificate against")
	case len(presented) == 0:
		return errors.New("the server presented no certificate")
	}
	options := x509.VerifyOptions{
		Roots:         s.current.Load().pool,
		Intermediates: x509.NewCertPool(),
		DNSName:       serverName,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, cert := range presented[1:] {
		options.Intermediates.AddCert(cert)
	}
	if _, err := presented[0].Verify(options); err != nil {
		return fmt.Errorf("the server is not trusted as %s: %w", serverName,
			&tls.CertificateVerificationError{UnverifiedCertificates: presented, Err: err})
	}
	return nil
}
