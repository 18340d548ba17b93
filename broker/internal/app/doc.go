// Package app is the whole broker. It opens what a broker needs, wires it, and
// serves until it is told to stop. The command line of wxbroker is here too.
//
// # How the pieces meet
//
//	WeChat ◄─── keeper ───► store
//	               │ each new state
//	               ▼
//	            accounts ───► fanout ───► streams ─┐
//	          (adds policy)                        ├─ rpc ───► edges, operators
//	            WeChat ◄─── relay ◄────── calls ───┤   ▲
//	                        keepers ◄── operator ──┘   └ access
//
// One keeper per account fetches credentials and stores them. It publishes each new
// state through accounts (accounts.go), which puts the account's policy beside the
// credentials and hands both to the fan-out. The gRPC server in rpc finds out who calls
// and turns away those to whom access grants nothing. It serves three services, and
// they are handed to it here. Package streams sends the edges what the fan-out has, as
// far as access grants it, and hands their reports to the keeper. Package calls takes
// the calls of apps, which go through relay to WeChat. Package operator answers people
// and asks keepers for them. The ops listener shows health, readiness and metrics.
//
// # The rule to keep
//
// Nobody waits for a keeper but the one who asked it something. A keeper may be in a
// call to WeChat for as long as the call takes. So whatever revokes, publishes or
// reloads tells the keeper and goes on. What is revoked ends in access and in the
// fan-out first, and keepers are changed after that.
//
// # Starting and stopping
//
// [New] opens the listeners and the database, and makes the keepers, which publish
// what the database has. It calls nobody. [App.Run] serves. A stop goes in the
// reverse order of the start: streams and calls end first, because they may still
// ask a keeper; then files are no longer followed, because a change of them changes
// keepers; then the keepers end, each after the call that it has under way; then the
// ops listener, which says from the beginning of the stop that the broker is not
// ready; then the database.
//
// # Reloading
//
// [App.Reload] takes a whole configuration into use, or refuses it as a whole
// (reload.go). An account whose entry did not change is not touched. A new list of
// sign_hosts goes past the keeper. A keeper whose API, tickets or limits change is
// replaced by one that takes over all that it held. AppSecrets are followed in their
// files and handed to the keeper.
package app
