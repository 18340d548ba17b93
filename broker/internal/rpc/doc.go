// Package rpc serves the broker's gRPC API: the stream that keeps each edge's
// copy of its credentials current, and gRPC's health service.
//
// A stream sends the newest state, waits until there is a newer one, and so
// on. Nothing is queued for a slow edge. What an edge acknowledges is kept in
// package edges, which is how an operator sees who holds what.
package rpc
