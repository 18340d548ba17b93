// Package broker asks the broker for what the stream does not bring: it reports
// credentials that WeChat is said to refuse (report.go), and has the broker make
// calls to WeChat (call.go for any size, ask.go for small ones).
//
// The rule to keep: nothing holds up anything else. Reports, small calls, downloads
// and other calls have a connection each (line.go), beside the stream's, since what
// takes as long as somebody's client likes would fill the windows of a shared one.
// A transfer holds no more of a body in memory than its share of the windows,
// however slow the side that takes it, and ends when the broker lets it stand still
// (watchdog.go).
//
// Every error is a gRPC status, unless it is one of the caller's own: of reading
// the body that is sent, or of taking the answer.
package broker
