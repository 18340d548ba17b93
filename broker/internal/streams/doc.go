// Package streams serves the CredentialService: it keeps each edge's copy of its
// credentials current, and takes reports of credentials that WeChat refuses.
//
// An edge says what it wants (subscription.go). The service sends what the edge's app
// may have of that (grant.go), and sends it again whenever it changes (watch.go). The
// newest state comes from package fanout. Package access says what the app may have.
// Package edges notes what an edge was sent and what it acknowledged, so that an
// operator sees who holds what. The audit records what was granted and what was taken
// back. Reports (report.go), and the versions that edges hold, reach the keeper through
// the functions in [Options].
//
// The rule to keep: each response is a state, not an event. There is no queue. A slow
// edge gets the newest state next, and never the states in between. A stream asks
// package access again each time that something wakes it, so a revoked grant ends at
// once.
package streams
