package e2e

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/broker/brokertest"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

// TestThreeDays: twenty edges sign every minute for three days of rotations,
// and WeChat accepts every signature. The number of calls to WeChat is what the
// keeper's rules give:
//
//   - A classic token of 120 minutes is due 10 to 11 minutes before its end, so
//     every 109 to 110 minutes of 4320: 39.3 to 39.6 times, and once at the start.
//   - The stable token is due 261 to 290 s before the end of its 7200 s, and
//     WeChat has the next one ready since 300 s: every 6910 to 6939 s of 259200,
//     37.4 to 37.5 times, and once at the start.
//   - A ticket is read every 10 minutes while more than 20 remain, so at 10, 20
//     … 100 minutes of its 120. Then when half of the rest is gone, at 110, 115
//     and 117.5. WeChat has the next one in the last five minutes: at 115
//     minutes sharp or, where that reading came a moment early, at 117.5. So 12
//     or 13 readings for every 115 to 117.5 minutes of 4320: 36.8 to 37.6
//     rotations of 12 or 13 readings, and once at the start.
func TestThreeDays(t *testing.T) {
	const (
		days  = 3
		edges = 20
	)
	for _, tt := range []struct {
		name     string
		account  brokertest.Account
		path     string
		min, max int
	}{
		{"classic", brokertest.Account{Classic: true}, wechatsim.PathToken, 40, 41},
		{"stable", brokertest.Account{}, wechatsim.PathStableToken, 38, 39},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, wechatsim.Settings{}, tt.account)
				w.startBroker(t)
				w.startEdges(t, edges)
				pass(time.Second)
				for minute := range days * 24 * 60 {
					w.allSign(t, fmt.Sprintf("minute %d", minute))
					pass(time.Minute)
				}
				t.Logf("%d token calls, %d ticket calls, %d signatures accepted",
					w.calls(tt.path), w.calls(wechatsim.PathTicket), days*24*60*edges)
				if n := w.calls(tt.path); n < tt.min || n > tt.max {
					t.Errorf("%d token calls, want %d to %d", n, tt.min, tt.max)
				}
				if n := w.calls(wechatsim.PathTicket); n < 36*12+1 || n > 38*13+1 {
					t.Errorf("%d ticket calls, want %d to %d", n, 36*12+1, 38*13+1)
				}
				if n := w.calls(wechatsim.PathDomainIP); n != 0 {
					t.Errorf("%d probes, want none", n)
				}
			})
		})
	}
}
