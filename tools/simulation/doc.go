// Package simulation runs a whole broker, its edges and a simulated WeChat
// through days of faults in fake time, and looks after every one of them
// whether the promises still hold. It is a test: see make simulate.
//
// A seed fixes the schedule of faults (what fails when and for how long) and
// the settings of WeChat. It does not fix how goroutines interleave, so a seed
// that failed may pass when it is repeated; the history says what happened.
//
// What is checked, by the numbers of the promises in the design:
//
//  1. No edge signs with a ticket that expired at WeChat; none goes back to an
//     older version, and none can push versions far into the future. What
//     WeChat says of a ticket's end is believed.
//  2. Calls stay within the budget of each of WeChat's days, no minute sees a
//     storm, and in an hour without trouble they are as few as the rules say.
//     No claim of an edge has a classic token fetched before the overlap of the
//     last one is over.
//  3. and 4. While WeChat still honours the ticket that an edge holds, the edge
//     signs: whatever WeChat answers meanwhile, and without a broker too.
//  5. What the broker has had for two seconds, every connected edge has.
//  6. A broker that was killed at any moment starts again, whatever became of
//     its database. One that is stopped answers what it was asked before.
//
// And when a fault is over, and so much later as the keeper's longest wait for
// its class, every edge signs and WeChat accepts it.
package simulation
