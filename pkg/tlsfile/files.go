package tlsfile

import (
	"fmt"

	"github.com/wxbroker/wxbroker/pkg/follow"
)

// Files are the paths of PEM files.
type Files struct {
	// Cert is the certificate that is presented, followed by its
	// intermediates, and Key its private key, without a passphrase. A server
	// needs them; a client without them is anonymous.
	Cert, Key string
	// CA holds the CAs that the other side's certificate must come from. A server with
	// this file asks clients for a certificate, and turns a client away that presents
	// one from another CA. A server without the file asks for no certificate. A client
	// trusts these CAs instead of the system's, not beside them: an organisation with a
	// CA of its own for the broker does not want every public CA to vouch for it.
	CA string
}

// check says what is wrong with the paths as such.
func (f Files) check() error {
	switch {
	case f.Cert != "" && f.Key == "":
		return fmt.Errorf("the TLS certificate %s has no key with it: give both files or neither", f.Cert)
	case f.Cert == "" && f.Key != "":
		return fmt.Errorf("the TLS key %s has no certificate with it: give both files or neither", f.Key)
	}
	return nil
}

// maxFile bounds each file, in bytes. The CAs of a whole operating system take
// about a quarter of it.
const maxFile = 1 << 20

// The order of the files' contents.
const (
	certFile = iota
	keyFile
	caFile
)

// group returns the files as a group that can be read and followed.
func (f Files) group() follow.Group {
	return follow.Group{What: "TLS files", Paths: []string{certFile: f.Cert, keyFile: f.Key, caFile: f.CA}, Limit: maxFile}
}
