// Package signing holds what the broker has granted to this edge, and signs pages
// with it.
//
// # One state at a time
//
// [State] is the edge's copy of what the broker sent last: accounts, their
// credentials and their policy. The stream replaces it as a whole, by
// [State.Apply]: what is absent from the new state is dropped. Apply prepares one
// signer for each account that has a jsapi_ticket. Whoever signs loads one
// snapshot and takes no lock. So a page is signed by one state, never by parts of
// two, and never waits for anybody.
//
// # The rule to keep
//
// No signature and no credential leaves this package past the credential's hard
// expiry. The expiry is checked at each use, and not when a state arrives, because
// by then nobody may be left to send a newer one. It is a [credential.Instant], so
// the monotonic clock and the wall clock both have to be before it: a clock that is
// stepped back lengthens nothing. Every way to a value goes through account.alive.
//
// # Which account
//
// A request names its account by appid. Otherwise it means the only account that
// has what is wanted. A page can also say by its host which of several accounts is
// meant: the one whose sign_hosts name it (choose.go). Between two accounts the edge
// never guesses, since WeChat refuses a signature by the wrong one. That is why an
// account that was asked for and has not come yet counts as one that may be meant.
//
// # Which page
//
// An account with sign_hosts signs only their pages. A URL can be read in more than
// one way: what follows `&url=` in it could be taken for the address of another
// page. Each reading has to be allowed (account.allow).
//
// # Errors
//
// Each refusal is one of [ErrAccount], [ErrHost], [ErrNotGranted] and
// [ErrUnavailable]. The first three do not pass by waiting. The last one does, as
// soon as the broker sends what is missing.
//
// # Tokens that come back
//
// Apps that were given an access_token present it at the edge as WeChat's own SDKs
// do. The state remembers such tokens by hash until they expire, also those that
// were replaced, as long as the broker grants the token of that account (token.go).
package signing
