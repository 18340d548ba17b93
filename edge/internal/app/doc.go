// Package app is the whole edge. It wires what an edge needs and serves until it is
// told to stop. The command line of wxedge is here too.
//
// # How the pieces meet
//
//	broker ───► watch ───► signing ◄─── httpapi ◄─── pages, apps
//	   ▲                                   │
//	   └────────── report, calls ◄─────────┘ with a local key
//
// The client in watch keeps one stream to the broker open and applies each state to
// signing. The HTTP API answers pages and apps out of that. With local keys, apps
// may also report a value that WeChat refused, and have WeChat called: both go to the
// broker over connections of their own, so they cannot delay the stream. Without
// local keys the edge asks the broker for jsapi_tickets alone. The ops listener
// shows health, readiness and metrics.
//
// # The rule to keep
//
// Signing needs nobody. All that a signature takes is in memory, and no request for
// one waits for the broker. So an outage of the broker is invisible until the ticket
// expires. Nothing is written to disk.
//
// # Starting and stopping
//
// The flags are turned into a [Config] (serve.go, listen.go, socket.go). [New] wires
// the edge and calls nobody. [App.Run] serves. A stop goes in the reverse order of
// the start: requests under way are answered; then reports, calls and the stream end,
// and files are no longer followed; then the ops listener closes, which says from the
// beginning of the stop that the edge is not ready.
package app
