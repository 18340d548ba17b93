package watch_test

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestSteppedWallClockOpensTheStreamAnew(t *testing.T) {
	for _, tt := range []struct {
		name  string
		steps []time.Duration // one a minute
		anew  bool
	}{
		{"none", []time.Duration{0}, false},
		{"forward a little", []time.Duration{4 * time.Second}, false},
		{"back a little", []time.Duration{-4 * time.Second}, false},
		{"to and fro", []time.Duration{4 * time.Second, -4 * time.Second, 4 * time.Second}, false},
		{"forward", []time.Duration{6 * time.Second}, true},
		{"back", []time.Duration{-6 * time.Second}, true},
		{"a day", []time.Duration{24 * time.Hour}, true},
		{"little by little", []time.Duration{2 * time.Second, 2 * time.Second, 2 * time.Second}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := start(t, nil)
				s, _ := w.next()
				s.tell(t, 1, list(account("wx1", cred(ticket, 5, "five"))), "wx1 jsapi_ticket 5")
				for _, d := range tt.steps {
					w.checkOpen(s)
					time.Sleep(time.Minute)
					w.clock.Step(d)
				}
				stepped := time.Now()
				if !tt.anew {
					time.Sleep(time.Minute)
					w.checkOpen(s)
					return
				}
				again, first := w.next()
				if took := again.at.Sub(stepped); took > 3*time.Second {
					t.Errorf("opened anew after %v", took)
				}
				checkVersions(t, first.GetHeld(), "wx1 jsapi_ticket 5")
				again.tell(t, 1, list(account("wx1", cred(ticket, 5, "five"))), "wx1 jsapi_ticket 5")
				if got := w.left(); got != time.Hour {
					t.Errorf("after being told again %v are left, want an hour", got)
				}
				time.Sleep(time.Minute) // once is enough
				w.checkOpen(again)
			})
		})
	}
}

func TestMessageThatWaitedWhileTheProcessStoodStillIsNotBelieved(t *testing.T) {
	// The message was sent long before it is read, so nobody knows how old it is.
	synctest.Test(t, func(t *testing.T) {
		w := start(t, nil)
		w.setOnApply(func() { time.Sleep(20 * time.Second) }) // as if stopped
		s, _ := w.next()
		s.send(t, 1, account("wx1", cred(ticket, 5, "five")))
		synctest.Wait()
		w.setOnApply(nil)
		s.send(t, 2, account("wx1", cred(ticket, 6, "six")))
		_, first := w.next()
		checkVersions(t, first.GetHeld(), "wx1 jsapi_ticket 5")
		w.checkHeld("wx1 jsapi_ticket 5 five")
	})
}
