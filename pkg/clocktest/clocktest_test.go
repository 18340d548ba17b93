package clocktest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/pkg/clocktest"
)

func TestWall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var wall clocktest.Wall
		start := time.Now()
		shows := func(want time.Duration) {
			t.Helper()
			if got := wall.Now().Sub(start); got != want {
				t.Errorf("the clock has moved by %v, want %v", got, want)
			}
		}
		shows(0)
		wall.Step(time.Hour)
		shows(time.Hour)
		time.Sleep(time.Minute)
		wall.Step(-3 * time.Hour)
		shows(time.Minute - 2*time.Hour)
		if wall.Stepped() != -2*time.Hour {
			t.Errorf("it was stepped by %v", wall.Stepped())
		}
	})
}
