// Package uplink is how a program reaches the broker: the flags of its command line,
// TLS or plain text, and the certificate and the token that it presents.
//
// Plain text is for a broker on the same machine. To any other broker the connection
// is TLS, unless plain text is asked for by name.
package uplink
