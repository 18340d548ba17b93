// Package streams serves the CredentialService: it keeps each edge's copy of its
// credentials current, and takes reports of credentials that WeChat refuses.
//
// An edge says what it wants. It is sent what it may have of that, and again whenever
// that changes. The newest state comes from package fanout, and package access says
// what the edge's app may have. What an edge is sent and what it acknowledges is noted
// in package edges, which is how an operator sees who holds what; the audit is told
// what was granted and what was taken back. A keeper hears of reports, and of versions
// that edges hold, through the functions in [Options].
//
// The rule to keep: each response is a state and no event. Nothing is queued for a
// slow edge, which is sent the newest state next and never those in between. A stream
// asks access anew each time that something wakes it, so what is revoked is dropped at
// once.
package streams
