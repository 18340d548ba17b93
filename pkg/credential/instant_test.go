package credential_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/pkg/clocktest"
	"github.com/wxbroker/wxbroker/pkg/credential"
)

// nowBy returns the instant that a wall clock and the monotonic clock of a synctest
// bubble show.
func nowBy(wall *clocktest.Wall) credential.Instant { return credential.Clock(wall.Now).Now() }

func TestInstantIsJudgedByTheEarlierClock(t *testing.T) {
	const life = time.Hour
	tests := []struct {
		name    string
		elapsed time.Duration // by the monotonic clock
		step    time.Duration // of the wall clock meanwhile
		left    time.Duration
		parted  time.Duration
	}{
		{"even", 20 * time.Minute, 0, 40 * time.Minute, 0},
		{"the last nanosecond", life - 1, 0, 1, 0},
		{"the moment itself is over", life, 0, 0, 0},
		{"over", life + time.Second, 0, -time.Second, 0},
		{"the wall clock is set forward", 20 * time.Minute, 15 * time.Minute, 25 * time.Minute, 15 * time.Minute},
		{"the wall clock is set forward past it", time.Minute, life, -time.Minute, life},
		{"the wall clock is set back: the monotonic one wins", 20 * time.Minute, -10 * time.Hour, 40 * time.Minute, 10 * time.Hour},
		{"the wall clock is set back and it is over", life, -10 * time.Hour, 0, 10 * time.Hour},
		{"suspended: only the wall clock goes on", 0, 2 * life, -life, 2 * life},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var wall clocktest.Wall
				start := nowBy(&wall)
				expiry := start.Add(life)
				time.Sleep(tt.elapsed)
				wall.Step(tt.step)
				now := nowBy(&wall)
				if got := expiry.Sub(now); got != tt.left {
					t.Errorf("Sub says %v left, want %v", got, tt.left)
				}
				if got := expiry.Passed(now); got != (tt.left <= 0) {
					t.Errorf("Passed says %v with %v left", got, tt.left)
				}
				if got := start.Parted(now); got != tt.parted {
					t.Errorf("the clocks parted by %v, want %v", got, tt.parted)
				}
				if got := start.Elapsed(now); got != tt.elapsed {
					t.Errorf("%v elapsed, want %v whatever the wall clock says", got, tt.elapsed)
				}
				if got := now.Wall().Sub(start.Wall()); got != tt.elapsed+tt.step {
					t.Errorf("Wall moved by %v, want %v", got, tt.elapsed+tt.step)
				}
			})
		})
	}
}

func TestInstantIsZero(t *testing.T) {
	if !(credential.Instant{}).IsZero() {
		t.Error("the zero value is not zero")
	}
	if credential.Clock(credential.WallClock).Now().IsZero() {
		t.Error("now is zero")
	}
}

func TestClockDropsTheMonotonicReadingOfItsWall(t *testing.T) {
	// With that reading, comparing two wall clocks would never see a step.
	if wall := credential.Clock(time.Now).Now().Wall(); wall != wall.Round(0) {
		t.Errorf("%v carries a monotonic reading", wall)
	}
}
