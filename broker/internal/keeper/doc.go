// Package keeper owns one account's credentials: it fetches them from WeChat,
// decides when they are due, and hands each new state on.
//
// One goroutine per account does all of it, in [Keeper.Run], so nothing here
// is locked but the inbox of claims, and what others read is published whole
// and never altered. It sleeps until the next credential is due, or until it
// is asked.
//
// The order is fetch, persist, publish. A value that cannot be persisted is
// published all the same: WeChat has already replaced the one before.
//
// When a credential is due depends on how WeChat treats it:
//
//   - A classic token is replaced by every call, and the one before lives five
//     more minutes. It is due shortly before it expires.
//   - The stable token is the same until its last five minutes, so asking
//     earlier is useless. It is due when that window has just begun.
//   - A ticket is the same for as long as WeChat likes, with an expires_in
//     that may look fresh each time. Its age counts from the first time its
//     value was seen, and it is read again and again to learn of a new one.
//
// Failure discards nothing: a value stays published until it expires, unless
// WeChat itself refused it. That somebody says so is no proof: WeChat is asked,
// once a minute at most, before a value is replaced.
//
// Every call is counted in the store before it is made, and none is made past
// the account's limits, so that no fault and no row of crashes spends what
// WeChat allows in a day.
package keeper
