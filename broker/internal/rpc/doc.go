// Package rpc is the broker's gRPC server. It has the connections: TLS, who calls, and
// what a connection may take and for how long. It has gRPC's health service, and it
// ends everything when the broker stops. The services are handed in, each as a
// [Service]; nothing here knows what they do.
//
// Package access says who calls. The caller's app has to have what the service says
// that the method takes. From there on the service decides, with the caller in its
// context. The audit is told of each call that is turned away, and of what became of a
// unary call that takes a grant; the services tell of their streams.
//
// The rule to keep: a method that its service does not list in its needs is nobody's.
// A server with such a method cannot be made.
package rpc
