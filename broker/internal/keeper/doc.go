// Package keeper owns one account's credentials: it fetches them from WeChat,
// decides when they are due, and hands each new state on.
//
// # One goroutine
//
// One goroutine per account does all of it, in [Keeper.Run]. It sleeps until the
// next credential is due, or until it is asked. So its state needs no locks.
// What other goroutines want goes through the inbox or is asked as a question;
// what they read is published whole and never altered.
//
// # Decisions and deeds
//
// The files that decide have no side effects. They work on the state, an answer
// of WeChat's and a moment: slot.go is what is known of one kind of credential,
// schedule.go says when it is due and how old a ticket is, trouble.go how long to
// wait after a failure, budget.go whether a call may be made, and record.go how
// all of that is stored. The files that act call WeChat, store, publish and log
// what was decided: keeper.go has the loop, call.go makes one call, refresh.go
// renews a kind and finds out whether a value is good, persist.go stores,
// inbox.go and report.go take what edges say, and operate.go does what a person
// asks for.
//
// # The order
//
// Count, call, store, publish. A call is counted in the store before it is made,
// with its intent: the kind it is for, the version reserved for its answer, and
// when it started. Storing the answer closes the intent. A keeper that finds an
// open one at its start knows that an answer may have been lost.
//
// A store that refuses, or does not answer within its bound, holds nothing up: the
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
//     that may look fresh each time. Its age counts from the first time its
//     value was seen, and it is read again and again to learn of a new one: more
//     often where it may be older, because an answer was lost before.
//
// Failure discards nothing: a value stays published until it expires, unless
// WeChat itself refused it. A report that it is refused is no proof: WeChat is
// asked, once a minute at most, before a value is replaced.
//
// No call is made past the account's limits, so that no fault and no row of
// crashes spends what WeChat allows in a day.
//
// # One keeper after another
//
// A keeper that takes the place of another, as after a change of the
// configuration, begins with all that the other held, not only with what the
// store has.
package keeper
