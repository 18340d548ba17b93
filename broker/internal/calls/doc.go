// Package calls serves the WeChatService. Through it an app lets the broker call
// WeChat with the account's token, which the app never sees.
//
// An edge sends a call part by part (requests.go). The first part says what to call,
// and by it the service decides whether the app may make the call (call.go). Package
// relay makes the call. The service sends the answer back in pieces (answer.go).
// Package access says what an app may call. The audit records how each call ended.
//
// The rule to keep: never wait for anybody without a bound, and never go on with a
// call that is no longer granted. A caller that neither sends nor takes anything for a
// while is cut off. While a body is on its way, the service asks package access again
// every few seconds.
package calls
