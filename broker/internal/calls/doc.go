// Package calls serves the WeChatService: an app has the broker call WeChat, with the
// account's token, which the app never sees.
//
// The service takes a call as it comes from an edge, part by part, and decides by what
// is said first whether the app may make it. Package relay makes the call; the answer
// goes back in pieces. Package access says what an app may call, and the audit is told
// how each call ended.
//
// The rule to keep: nobody is waited for without end, and nothing goes on that is no
// longer granted. A caller that neither sends nor takes anything for a while is cut
// off, and while a body is on its way, access is asked again every few seconds.
package calls
