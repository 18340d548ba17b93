package tlsfile

import (
	"crypto/tls"
	"testing"
	"testing/synctest"
)

// TestReplacedCA: from the next connection on the new CA counts, on both
// sides; the connections that there are go on.
func TestReplacedCA(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before, after := newCA(t, "before"), newCA(t, "after")
		serverFiles := lay(t, before.issue(t), before)
		server := load(t, serverFiles)
		oldFiles := lay(t, before.issue(t), before)
		oldClient := load(t, oldFiles)
		newClient := load(t, lay(t, after.issue(t), after))
		follow(t, server)
		follow(t, oldClient)
		s := serve(t, server.mustServer(t))
		dial := func(client *Source, says string) *tls.Conn {
			t.Helper()
			conn, err := s.dial(t, client.Client("broker.example.com"))
			refused(t, err, says)
			return conn
		}
		open := dial(oldClient, "")
		dial(newClient, "unknown authority") // the server's is not of its CA

		write(t, serverFiles.CA, after.pem) // clients first
		pass(settled)
		dial(oldClient, "unknown certificate authority")
		refused(t, ask(open), "")

		pair := after.issue(t) // then the server's own
		write(t, serverFiles.Cert, pair.cert)
		write(t, serverFiles.Key, pair.key)
		pass(settled)
		dial(newClient, "")
		dial(oldClient, "x509: certificate signed by unknown authority")
		refused(t, ask(open), "")

		write(t, oldFiles.CA, after.pem) // the client learns of the server's,
		pass(settled)
		dial(oldClient, "unknown certificate authority")
		pair = after.issue(t) // and gets one that the server takes
		write(t, oldFiles.Cert, pair.cert)
		write(t, oldFiles.Key, pair.key)
		pass(settled)
		dial(oldClient, "")
		refused(t, ask(open), "")
	})
}

// TestManyReplacements under connections that live on.
func TestManyReplacements(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		authority := newCA(t, "ours")
		files := lay(t, authority.issue(t), authority)
		source := load(t, files)
		log := follow(t, source)
		s := serve(t, source.mustServer(t))
		client := source.Client("2001:db8::1")
		var open []*tls.Conn
		for range 20 {
			conn, err := s.dial(t, client)
			refused(t, err, "")
			open = append(open, conn)
		}
		for range 50 {
			pair := authority.issue(t)
			write(t, files.Cert, pair.cert)
			write(t, files.Key, pair.key)
			pass(settled)
			conn, err := s.dial(t, client)
			refused(t, err, "")
			if got := conn.ConnectionState().PeerCertificates[0]; !got.Equal(pair.leaf) {
				t.Errorf("a new connection was shown %s, want %s", got.SerialNumber.Text(16), pair.serial())
			}
			conn.Close()
			for i, conn := range open {
				if err := ask(conn); err != nil {
					t.Fatalf("connection %d is lost: %v", i, err)
				}
			}
		}
		if lines := log.lines(); len(lines) != 50 {
			t.Errorf("logged %d lines: %q", len(lines), lines)
		}
	})
}
