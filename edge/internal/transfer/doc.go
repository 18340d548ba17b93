// Package transfer moves what may be large between a client and the edge, in
// pieces: an answer to it (flow.go), and a request's body from it (upload.go).
//
// The rule to keep: whoever moves nothing for a while is not waited for, and
// whoever moves something, however slowly, is. The server's own timeouts bound
// whole requests and would cut off what is large, so each piece has a deadline of
// its own here, and none is left over for what comes after it.
package transfer
