// Package deploy tests the examples in deploy/ against the real programs: a
// configuration there must start the broker, and what stands beside it must
// start an edge that signs with that broker's tickets, and nobody else's. What
// the README says to type is tried where that can be done without a cluster.
package deploy
