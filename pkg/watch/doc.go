// Package watch is the client of the broker's stream: it keeps a current copy
// of the credentials that the broker grants, across broken connections,
// broker restarts and clocks that jump.
//
// What it holds only ever moves forward: a credential is replaced by one of
// the same or a higher version, and is dropped when the broker says so, never
// because the broker is away or has nothing to offer just now. A broker that
// refuses the caller, PERMISSION_DENIED or UNAUTHENTICATED, says so of everything
// at once; the client goes on asking.
//
// The broker tells how long a credential still lives, not until when, so an
// edge whose clock is wrong counts right. That holds while the process and its
// clocks run evenly; when they do not, the stream is opened anew to be told
// again.
package watch
