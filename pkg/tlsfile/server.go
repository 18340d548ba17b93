package tlsfile

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
)

// Server returns the configuration of a server that presents the current
// certificate and, if there is a CA file, asks clients for one. A client that
// presents one which is not from a current CA, or not good for a client, is
// turned away. A client may present none: what it may do then, or whether it
// says in another way who it is, is for the server to decide, which finds what
// was verified in tls.ConnectionState.VerifiedChains.
//
// Protocols are what the server offers by ALPN. They are asked for here
// because each handshake gets a configuration of its own, which does not see
// what is added to this one later, as net/http does: give an HTTP server "h2"
// and "http/1.1", or it will speak only the latter. gRPC adds its "h2" itself.
func (s *Source) Server(protocols ...string) (*tls.Config, error) {
	if s.files.Cert == "" {
		return nil, errors.New("a TLS server needs a certificate file and a key file")
	}
	protocols = slices.Clone(protocols)
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: protocols, // for who looks whether it is offered
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return s.handshake(protocols), nil
		},
		SessionTicketsDisabled: true,
	}, nil
}

// handshake returns the configuration of one handshake of a server. What is
// checked is so left to crypto/tls, which does it as for any server, tells
// clients why they were refused, and lists the CAs for those that have a choice
// of certificates.
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

// VerifyClient holds a client's certificate against the CAs of now, as a new
// connection would: one that is open may be older than they are.
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
