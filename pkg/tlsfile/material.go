package tlsfile

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/wxbroker/wxbroker/pkg/follow"
)

// material is the parsed content of the files: all of it parses, and its parts match.
// It is never changed, only replaced.
type material struct {
	read        follow.Fingerprint  // of the files' content
	pair        *tls.Certificate    // nil without a certificate of our own
	authorities []*x509.Certificate // the CAs, none or at least one
	pool        *x509.CertPool      // the same; nil means the system's, as in crypto/x509
	exposed     bool                // every user of the machine can read the key
}

// parse returns errors that say which file is wrong and how.
func (f Files) parse(c follow.Contents) (*material, error) {
	m := &material{read: c.Fingerprint, exposed: c.Files[keyFile].Exposed}
	cert, key := c.Files[certFile].Bytes, c.Files[keyFile].Bytes
	if f.Cert != "" {
		chain, err := certificates(cert)
		if err != nil {
			return nil, fmt.Errorf("the TLS certificate %s: %w", f.Cert, err)
		}
		if err := checkKey(key); err != nil {
			return nil, fmt.Errorf("the TLS key %s: %w", f.Key, err)
		}
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("the TLS key %s does not go with the first certificate in %s: %w", f.Key, f.Cert, err)
		}
		pair.Leaf = chain[0] // whatever GODEBUG says
		m.pair = &pair
	}
	if f.CA != "" {
		authorities, err := certificates(c.Files[caFile].Bytes)
		if err != nil {
			return nil, fmt.Errorf("the TLS CAs %s: %w", f.CA, err)
		}
		m.authorities, m.pool = authorities, x509.NewCertPool()
		for _, cert := range authorities {
			m.pool.AddCert(cert)
		}
	}
	return m, nil
}

// warnings says what an operator should mend, though it may work for now.
func (m *material) warnings(f Files, now time.Time) []string {
	var found []string
	if m.exposed {
		found = append(found, fmt.Sprintf("the TLS key %s can be read by every user of this machine: chmod 600 it", f.Key))
	}
	if m.pair != nil {
		if why := untimely(m.pair.Leaf, now); why != "" {
			found = append(found, fmt.Sprintf("the TLS certificate %s %s: others will refuse it", f.Cert, why))
		}
	}
	for i, cert := range m.authorities {
		if why := untimely(cert, now); why != "" {
			found = append(found, fmt.Sprintf("number %d of the TLS CAs %s, %q, %s: what it signed is refused", i+1, f.CA, cert.Subject, why))
		}
	}
	return found
}

// untimely says why a certificate is not valid now, "" if it is.
func untimely(cert *x509.Certificate, now time.Time) string {
	switch {
	case now.After(cert.NotAfter):
		return "expired at " + cert.NotAfter.Format(time.RFC3339)
	case now.Before(cert.NotBefore):
		return "is not valid before " + cert.NotBefore.Format(time.RFC3339)
	}
	return ""
}

// attributes describe material in a log line. Certificates that name a
// workload often have no subject, so their other names are there too.
func (m *material) attributes() []any {
	var list []any
	if m.pair != nil {
		leaf := m.pair.Leaf
		names := append([]string(nil), leaf.DNSNames...)
		for _, ip := range leaf.IPAddresses {
			names = append(names, ip.String())
		}
		for _, uri := range leaf.URIs {
			names = append(names, uri.String())
		}
		list = append(list, "subject", leaf.Subject.String(), "names", names,
			"serial", leaf.SerialNumber.Text(16), "not_after", leaf.NotAfter)
	}
	if len(m.authorities) > 0 {
		list = append(list, "cas", len(m.authorities))
	}
	return list
}
