package tlsfile

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
)

// Server returns the configuration of a server that presents the current certificate.
// If there is a CA file, the server asks clients for a certificate. It turns a client
// away whose certificate is not from a current CA, or not good for a client. A client
// may present no certificate: then the server has to decide what the client may do, or
// who it is by another proof. The server finds the verified certificates in
// tls.ConnectionState.VerifiedChains.
//
// Protocols are those that the server offers by ALPN. They are needed here because each
// handshake gets a configuration of its own. Protocols that are added to the returned
// configuration later, as net/http does, are not in it. So give an HTTP server "h2"
// and "http/1.1", or it speaks only the latter. gRPC adds its "h2" itself.
func (s *Source) Server(protocols ...string) (*tls.Config, error) {
	if s.files.Cert == "" {
		return nil, errors.New("a TLS server needs a certificate file and a key file")
	}
	protocols = slices.Clone(protocols)
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: protocols, // for code that checks whether a protocol is offered
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return s.handshake(protocols), nil
		},
		SessionTicketsDisabled: true,
	}, nil
}

// handshake returns the configuration of one handshake of a server. So crypto/tls does
// the checks as for any server. It tells clients why they were refused, and lists the
// CAs for clients that can choose between certificates.
func (s *Source) handshake(protocols []string) *tls.Config {
	m := s.current.Load()
	config := &tls.Config{
		MinVersion:             tls.VersionTLS13,
		NextProtos:             protocols,
		Certificates:           []tls.Certificate{*m.pair},
		SessionTicketsDisabled: true,
	}
	if s.files.CA != "" {
		config.ClientAuth, config.ClientCAs = tls.VerifyClientCertIfGiven, m.pool
	}
	return config
}

// VerifyClient verifies a client's certificate with the present CAs, as a handshake
// would. It is for open connections, which may be older than the CAs.
func (s *Source) VerifyClient(presented []*x509.Certificate) error {
	if len(presented) == 0 {
		return errors.New("the client presented no certificate")
	}
	options := x509.VerifyOptions{
		Roots: s.current.Load().pool, Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, cert := range presented[1:] {
		options.Intermediates.AddCert(cert)
	}
	_, err := presented[0].Verify(options)
	return err
}
