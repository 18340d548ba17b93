// Package rpc is the broker's gRPC server. It accepts connections, secures them with
// TLS (transport.go), bounds what each may use and for how long (server.go), and finds
// out who calls (guard.go). It has gRPC's health service (health.go), and it ends
// everything when the broker stops. The caller of [NewServer] hands the services in,
// each as a [Service]. The package does not know what they do.
//
// Package access says who calls. A service says in its needs which grants each of its
// methods takes, and the caller's app must have one. From there on the service
// decides, with the caller in its context. The audit records each call that is turned
// away, and the outcome of each unary call that takes a grant. The services record
// their streams themselves.
//
// The rule to keep: nobody may call a method that its service does not list in its
// needs. A server with such a method cannot be made.
package rpc
