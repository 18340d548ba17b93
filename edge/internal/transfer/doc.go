// Package transfer moves large bodies between a client and the edge, in pieces. It
// sends answers to the client (flow.go), and reads the bodies of requests (upload.go).
//
// The rule to keep: wait for a client that makes progress, however slow above a minimum,
// and cut off a client that makes none. The server's own timeouts bound whole requests
// and would cut off large ones. So each piece has a deadline of its own here. No
// deadline of a piece stays in force for what comes after it.
package transfer
