// Package simulation runs a whole broker, its edges and a simulated WeChat through days
// of faults in fake time. After every fault it checks whether the promises still hold. It
// is a test: see make simulate.
//
// A seed fixes the schedule of faults (what fails when and for how long) and
// the settings of WeChat. It does not fix how goroutines interleave, so a seed
// that failed may pass when it is repeated; the history says what happened.
//
// What is checked, by the numbers of the promises in the design:
//
//  1. No edge signs with a ticket that has expired at WeChat. No edge goes back to an
//     older version, and none can push versions far into the future. The broker
//     believes what WeChat says of a ticket's end.
//  2. Calls stay within the budget of each of WeChat's days. No minute sees a storm. In
//     an hour without trouble there are as few calls as the rules say. No claim of an
//     edge makes the broker fetch a classic token before the overlap of the last one is
//     over.
//  3. and 4. While WeChat still honours the ticket that an edge holds, the edge signs,
//     whatever WeChat answers meanwhile, and also without a broker.
//  5. What the broker has had for two seconds, every connected edge has.
//  6. A broker that was killed at any moment starts again, whatever happened to its
//     database. A broker that is stopped answers what it was asked before.
//
// And when a fault is over and the keeper's longest wait for its class has passed, every
// edge signs and WeChat accepts it.
package simulation
