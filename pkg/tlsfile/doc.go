// Package tlsfile keeps the TLS material of a server or client as it is on
// disk: a certificate with its key, and the CAs that the other side is held
// against. Whoever renews the files, be it cert-manager, kubelet or a person,
// need not tell the program, and no connection is dropped for it: each new
// handshake uses what is current, and connections that are open go on with
// what they began with.
//
// # Noticing a change
//
// [Source.Run] reads all files every two seconds and compares their content.
// There is nothing to configure, and it makes no difference whether a file was
// written in place, renamed into place, or appeared behind a symbolic link as
// Kubernetes swaps them; whether it is on a local disk, on NFS or in a bind
// mount; nor what its modification time says. Handshakes never read a file, so
// a disk that hangs delays a renewal and nothing else.
//
// Files are not replaced all at once. In-place writers leave a certificate
// whose key has yet to come, and a CA file is for a moment shorter than it will
// be. So a change is taken into use when two looks in a row have found the same
// content and all of it parses and matches. Until then, and for as long as
// something is wrong with it, what was in use stays in use; what lasts for
// more than ten seconds is logged. This holds for the CAs too: emptying or
// deleting the CA file shuts nobody out. To withdraw trust, replace it.
//
// # What is checked when
//
// Both sides speak TLS 1.3 and nothing older, and neither resumes sessions: a
// resumed one would rest on a certificate that was checked against the CAs of
// its day. So each connection is checked in full against the CAs that are
// current when it is made. Connections that were made before are not ended
// when a CA goes: who wants that bounded gives connections a lifetime.
package tlsfile
