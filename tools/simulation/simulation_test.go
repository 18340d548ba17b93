package simulation

import (
	"flag"
	"fmt"
	"testing"
	"testing/synctest"
)

var (
	seeds = flag.Int("seeds", len(profiles), "how many seeds to run")
	first = flag.Uint64("first", 1, "the first of them")
	days  = flag.Int("days", 1, "virtual days for each")
)

// TestPromises runs the seeds. The number of a seed also chooses its class of faults, so
// that any row of seeds has some of each class.
func TestPromises(t *testing.T) {
	t.Parallel()
	all := newSummary()
	t.Cleanup(func() { t.Logf("%s", all) }) // when the seeds are over: they run in parallel
	for i := range *seeds {
		seed := *first + uint64(i)
		p := profiles[seed%uint64(len(profiles))]
		t.Run(fmt.Sprintf("%d-%s", seed, p.name), func(t *testing.T) {
			t.Parallel()
			calls := newCalls(p)
			synctest.Test(t, func(t *testing.T) { run(t, seed, p, *days, calls) })
			all.add(p.name, *days, calls)
		})
	}
}
