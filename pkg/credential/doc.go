// Package credential holds the values that broker and edges pass around: a
// [Credential] of a [Kind], the [Account] it belongs to with the policy that
// travels along, and the [Instant] that both judge expiry by.
//
// The words are WeChat's: an account is an appid; an access_token calls its
// server API; a jsapi_ticket signs JS-SDK pages; a wx_card_ticket (WeChat's
// api_ticket of type wx_card) signs card parameters.
//
// Values are held as [Secret], which prints redacted whatever prints it.
package credential
