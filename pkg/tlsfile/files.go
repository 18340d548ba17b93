package tlsfile

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
)

// Files are the paths of PEM files.
type Files struct {
	// Cert is the certificate that is presented, followed by its
	// intermediates, and Key its private key, without a passphrase. A server
	// needs them; a client without them is anonymous.
	Cert, Key string
	// CA holds the CAs that the other side's certificate must come from. A
	// server that has it turns away clients without such a certificate; one
	// that has not asks for none. A client trusts these instead of the
	// system's CAs, not beside them: who has a CA of their own for the broker
	// does not want every public CA to vouch for it.
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

// contents are what the files held at one look, not necessarily of one
// generation.
type contents struct {
	cert, key, ca []byte
	exposed       bool // every user of the machine can read the key
	sums          sums
}

// sums tell contents apart without keeping a second copy of the key.
type sums [3][sha256.Size]byte

func (f Files) read() (contents, error) {
	var c contents
	for i, file := range []struct {
		what, path string
		content    *[]byte
		exposed    *bool
	}{
		{"certificate", f.Cert, &c.cert, new(bool)},
		{"key", f.Key, &c.key, &c.exposed},
		{"CAs", f.CA, &c.ca, new(bool)},
	} {
		if file.path == "" {
			continue
		}
		var err error
		*file.content, *file.exposed, err = read(file.path)
		if err != nil {
			return contents{}, fmt.Errorf("reading the TLS %s: %w", file.what, err)
		}
		c.sums[i] = sha256.Sum256(*file.content)
	}
	return c, nil
}

// read reads a file, and says whether every user of the machine can.
func read(path string) (content []byte, worldReadable bool, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, false, err
	}
	if !info.Mode().IsRegular() { // opening a pipe would wait for its writer
		return nil, false, fmt.Errorf("%s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	content, err = io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return nil, false, err
	case len(content) == 0:
		return nil, false, fmt.Errorf("%s: %w", path, errEmpty)
	case len(content) > maxFile:
		return nil, false, fmt.Errorf("%s has more than %d bytes", path, maxFile)
	}
	return content, info.Mode().Perm()&0o004 != 0, nil
}

var errEmpty = errors.New("the file is empty")
