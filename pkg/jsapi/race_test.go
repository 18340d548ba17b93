//go:build race

package jsapi_test

// raceEnabled: the race detector makes sync.Pool drop values at random, so
// allocations cannot be counted.
const raceEnabled = true
