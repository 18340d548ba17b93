// Package tlsfile keeps the TLS material of a server or client as it is on
// disk: a certificate with its key, and the CAs that the other side is held
// against. Whoever renews the files, be it cert-manager, kubelet or a person,
// need not tell the program, and no connection is dropped for it: each new
// handshake uses what is current, and connections that are open go on with
// what they began with.
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
// Both sides speak TLS 1.3 and nothing older, and neither resumes sessions: a
// resumed one would rest on a certificate that was checked against the CAs of
// its day. So each connection is checked in full against the CAs that are
// current when it is made. Connections that were made before are not ended
// when a CA goes: who wants that bounded gives connections a lifetime.
package tlsfile
