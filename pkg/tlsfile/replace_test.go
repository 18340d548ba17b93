package tlsfile

import (
	"crypto/tls"
	"testing"
	"testing/synctest"

	"github.com/wxbroker/wxbroker/pkg/tlstest"
)

// TestReplacedCA: from the next connection on the new CA counts, on both sides. Open
// connections go on.
func TestReplacedCA(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before, after := tlstest.NewCA(t, "before"), tlstest.NewCA(t, "after")
		serverFiles := lay(t, before.Issue(t), before)
		server := load(t, serverFiles)
		oldFiles := lay(t, before.Issue(t), before)
		oldClient := load(t, oldFiles)
		newClient := load(t, lay(t, after.Issue(t), after))
		run(t, server)
		run(t, oldClient)
		s := serve(t, server.mustServer(t))
		dial := func(client *Source, says string) *tls.Conn {
			t.Helper()
			conn, err := s.dial(t, client.Client("broker.example.com"))
			refused(t, err, says)
			return conn
		}
		open := dial(oldClient, "")
		dial(newClient, "unknown authority") // the server's certificate is not from the client's CA

		write(t, serverFiles.CA, after.PEM) // clients first
		pass(settled)
		dial(oldClient, "unknown certificate authority")
		refused(t, ask(open), "")

		pair := after.Issue(t) // then the server's own
		write(t, serverFiles.Cert, pair.Cert)
		write(t, serverFiles.Key, pair.Key)
		pass(settled)
		dial(newClient, "")
		dial(oldClient, "x509: certificate signed by unknown authority")
		refused(t, ask(open), "")

		write(t, oldFiles.CA, after.PEM) // the client learns of the server's CA
		pass(settled)
		dial(oldClient, "unknown certificate authority")
		pair = after.Issue(t) // and gets a certificate that the server accepts
		write(t, oldFiles.Cert, pair.Cert)
		write(t, oldFiles.Key, pair.Key)
		pass(settled)
		dial(oldClient, "")
		refused(t, ask(open), "")
	})
}

// TestManyReplacements while connections live on.
func TestManyReplacements(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		authority := tlstest.NewCA(t, "ours")
		files := lay(t, authority.Issue(t), authority)
		source := load(t, files)
		log := run(t, source)
		s := serve(t, source.mustServer(t))
		client := source.Client("2001:db8::1")
		var open []*tls.Conn
		for range 20 {
			conn, err := s.dial(t, client)
			refused(t, err, "")
			open = append(open, conn)
		}
		for range 50 {
			pair := authority.Issue(t)
			write(t, files.Cert, pair.Cert)
			write(t, files.Key, pair.Key)
			pass(settled)
			conn, err := s.dial(t, client)
			refused(t, err, "")
			if got := conn.ConnectionState().PeerCertificates[0]; !got.Equal(pair.Leaf) {
				t.Errorf("a new connection was shown %s, want %s", got.SerialNumber.Text(16), pair.Serial())
			}
			conn.Close()
			for i, conn := range open {
				if err := ask(conn); err != nil {
					t.Fatalf("connection %d is lost: %v", i, err)
				}
			}
		}
		if lines := log.Take(); len(lines) != 50 {
			t.Errorf("logged %d lines: %q", len(lines), lines)
		}
	})
}
