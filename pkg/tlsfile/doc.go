// Package tlsfile keeps the TLS material of a server or client as it is on disk: a
// certificate with its key, and the CAs that the other side's certificate is verified
// with. Whoever renews the files (cert-manager, kubelet or a person) need not tell the
// program. No connection is dropped for it: each new handshake uses the current
// material, and open connections go on with the material that they began with.
//
// # Noticing a change
//
// [Source.Run] follows the files as package follow does. Handshakes never read
// a file, so a disk that hangs delays a renewal and nothing else. While files
// are gone or do not go together, what was in use stays in use. This holds for
// the CAs too: emptying or deleting the CA file shuts nobody out. To withdraw
// trust, replace it.
//
// # What is checked when
//
// Both sides speak TLS 1.3 and nothing older. Neither resumes sessions: a resumed
// session would rest on a certificate that was checked against earlier CAs. So each
// connection is checked in full against the CAs that are current when it is made. A
// connection that is open does not end when a CA goes. To bound that, give connections
// a lifetime.
package tlsfile
