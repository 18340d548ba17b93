// Package watch is the client of the broker's stream. It keeps a current copy of the
// credentials that the broker grants, across broken connections, restarts of the
// broker and clocks that jump.
//
// What the client holds only moves forward: a credential is replaced by one of the same
// or a higher version. It is dropped when the broker says so. It is not dropped because
// the broker is away or has no such credential just now. If the broker refuses the
// caller, with PERMISSION_DENIED or UNAUTHENTICATED, the client drops everything at
// once, and goes on asking.
//
// A state carries the expiry of each credential and the broker's clock. The client
// computes the life that remains, so an edge whose clock is wrong counts right. That
// holds while the process and its clocks run evenly. When they do not, the client opens
// a new stream, to be told the remaining life afresh.
package watch
