// Package deploy tests the examples in deploy/ with the real programs. A configuration
// there must start the broker. The files beside it must start an edge that signs with
// the tickets of that broker, and no other edge. The commands in the README are tried
// where that is possible without a cluster.
package deploy
