// Package broker asks the broker for everything that the stream does not bring. It
// reports credentials that WeChat is said to refuse (report.go). It lets the broker
// make calls to WeChat, of any size (call.go, answer.go) or small ones (ask.go).
//
// The rule to keep: no request may hold up another. Reports, small calls, downloads and
// other calls have a connection each (client.go, redial.go), in addition to the
// stream's. On a shared connection, one client that is slow to take its answer would
// fill the windows for all. A transfer holds no more of a body in memory than its share
// of the windows, however slow the receiving side is. It ends when the broker lets it
// stand still (watchdog.go).
//
// Every error is a gRPC status, except for the caller's own errors: of reading the body
// that it sends, and of taking the answer.
package broker
