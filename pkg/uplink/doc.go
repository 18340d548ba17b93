// Package uplink is how a program reaches the broker: whether over TLS, with
// which certificate and token, and what its command line says of that.
//
// Plain text is for a broker on the same machine. Towards any other the
// connection is TLS, unless plain text is asked for by name.
package uplink
