// Package keeper owns one account's credentials: it fetches them from WeChat,
// decides when they are due, and hands each new state on.
//
// # One goroutine
//
// One goroutine per account does all of it, in [Keeper.Run]. It sleeps until the
// next credential is due, or until another goroutine wakes it. So its state needs
// no locks. Other goroutines put news into the inbox, or ask a question and wait
// for its answer. What they read is published as a whole and never altered.
//
// # Decisions and deeds
//
// The files that decide have no side effects. They work on the state, an answer
// of WeChat's and a moment:
//
//   - slot.go holds what is known of one kind of credential.
//   - schedule.go decides when a credential is due.
//   - sighting.go decides how old a ticket is.
//   - trouble.go decides how long to wait after a failure.
//   - budget.go decides whether a call may be made. spending.go counts the calls.
//   - record.go decides how all of that is stored.
//
// The files that act call WeChat, store, publish and log what was decided:
//
//   - keeper.go has the loop.
//   - call.go makes one call.
//   - refresh.go renews a kind and finds out whether a value is good.
//   - persist.go stores, loads at the start, and takes over what another keeper holds.
//   - inbox.go has the two ways in which other goroutines reach the keeper: news that
//     they leave, and questions that they ask.
//   - report.go takes what edges report.
//   - operate.go does what a person asks for.
//
// # The order
//
// Count, call, store, publish. The store has the count of a call before the call
// is made. With the count it has the call's intent: the kind that the call is for,
// the version that is reserved for its answer, and when it started. Storing the
// answer closes the intent. A keeper that finds an open intent at its start knows
// that an answer may have been lost.
//
// A store that refuses, or does not answer within its bound, holds nothing up. The
// value is published all the same, since WeChat has already replaced the one
// before.
//
// # When a credential is due
//
//   - A classic token is replaced by every call, and the one before lives five
//     more minutes. It is due shortly before it expires.
//   - The stable token is the same until its last five minutes, so asking
//     earlier is useless. It is due when that window has just begun.
//   - A ticket is the same for as long as WeChat likes, with an expires_in
//     that may look fresh each time. Its age counts from the first time that its
//     value was seen. The keeper reads it again and again to learn of a new one.
//     It does so more often where the ticket may be older, because an answer was
//     lost before.
//
// Failure discards nothing. A value stays published until it expires, unless
// WeChat itself refused it. A report that WeChat refuses a value proves nothing.
// The keeper asks WeChat, once a minute at most, before it replaces a value.
//
// No call is made past the account's limits, so that no fault and no row of
// crashes spends what WeChat allows in a day.
//
// # One keeper after another
//
// A keeper can take the place of another, for example after a change of the
// configuration. It then begins with all that the other held, not only with what
// the store has.
package keeper
