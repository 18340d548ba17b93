// Package deploy tests the examples in deploy/ against the real programs: a
// configuration there must start the broker, and what stands beside it must
// start an edge that signs with that broker's tickets.
package deploy
