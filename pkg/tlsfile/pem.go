package tlsfile

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// The errors of this file name no path and quote nothing of a file that may
// hold a key.

// blocks returns the PEM blocks of a file. pem.Decode skips text that looks like a
// block and is none. blocks returns an error for that: otherwise a CA file that was
// written only in part would be read as one with fewer CAs.
func blocks(raw []byte) ([]*pem.Block, error) {
	var found []*pem.Block
	for rest := raw; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		found = append(found, block)
	}
	if bytes.Count(raw, []byte("-----BEGIN ")) != len(found) {
		return nil, errors.New("a PEM block is damaged, indented, cut off, or does not begin on a line of its own")
	}
	return found, nil
}

// certificates returns all certificates of a file. There must be at least one.
func certificates(raw []byte) ([]*x509.Certificate, error) {
	found, err := blocks(raw)
	if err != nil {
		return nil, err
	}
	var certs []*x509.Certificate
	keys := false
	for _, block := range found {
		keys = keys || isKey(block)
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d does not parse: %w", len(certs)+1, err)
		}
		certs = append(certs, cert)
	}
	switch {
	case len(certs) > 0:
		return certs, nil
	case keys:
		return nil, errors.New("it holds a private key and no certificate: the two files may have been swapped")
	default:
		return nil, errors.New("it holds no certificate in PEM form: convert one in DER form with `openssl x509 -inform der`")
	}
}

// checkKey says what is wrong with a key file. Its words are more helpful than those of
// crypto/tls, and none of them comes from the file: crypto/tls names the types of
// blocks that it skips.
func checkKey(raw []byte) error {
	found, err := blocks(raw)
	if err != nil {
		return err
	}
	for _, block := range found {
		switch {
		case !isKey(block):
		case block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED"):
			return errors.New("the key needs a passphrase, which nobody is there to type: write it without one with `openssl pkey`")
		default:
			return nil // crypto/tls takes the first one too
		}
	}
	return errors.New("it holds no private key in PEM form")
}

func isKey(block *pem.Block) bool {
	return block.Type == "PRIVATE KEY" || strings.HasSuffix(block.Type, " PRIVATE KEY")
}
