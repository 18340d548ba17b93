package keeper

import (
	"testing"
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

func TestBackoff(t *testing.T) {
	noon := time.Date(2026, 11, 21, 12, 0, 0, 0, wxapi.Zone)
	for _, tt := range []struct {
		name     string
		err      wechat.Error
		run      int
		wall     time.Time
		min, max time.Duration
	}{
		{"transient, first", wechat.Error{Class: wxapi.Transient}, 1, noon, 100 * time.Millisecond, time.Second},
		{"transient, fourth", wechat.Error{Class: wxapi.Transient}, 4, noon, 100 * time.Millisecond, 8 * time.Second},
		{"transient, hundredth", wechat.Error{Class: wxapi.Transient}, 100, noon, 100 * time.Millisecond, time.Minute},
		{"rate", wechat.Error{Class: wxapi.Rate}, 1, noon, time.Minute, time.Minute + time.Second},
		{"quota", wechat.Error{Class: wxapi.Quota}, 1, noon, time.Hour, time.Hour + 10*time.Second},
		{"quota just before midnight", wechat.Error{Class: wxapi.Quota}, 3, noon.Add(11*time.Hour + 55*time.Minute), 5 * time.Minute, 5*time.Minute + 10*time.Second},
		{"configuration, first", wechat.Error{Class: wxapi.Configuration}, 1, noon, time.Minute, time.Minute},
		{"configuration, third", wechat.Error{Class: wxapi.Configuration}, 3, noon, 4 * time.Minute, 4 * time.Minute},
		{"configuration, tenth", wechat.Error{Class: wxapi.Configuration}, 10, noon, 10 * time.Minute, 10 * time.Minute},
		{"address", wechat.Error{Class: wxapi.Address}, 2, noon, 2 * time.Minute, 2 * time.Minute},
		{"approval without a wait", wechat.Error{Class: wxapi.Approval}, 1, noon, time.Minute, time.Minute},
		{"approval with a wait", wechat.Error{Class: wxapi.Approval, Wait: 24 * time.Hour}, 1, noon, 24 * time.Hour, 24 * time.Hour},
		{"refused token", wechat.Error{Class: wxapi.RefusedToken}, 1, noon, time.Minute, time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			waits := map[time.Duration]bool{}
			for c := range 200 {
				got := backoff(&tt.err, tt.run, tt.wall, chance(c)/200)
				if got < tt.min || got > tt.max {
					t.Fatalf("wait %v, want %v to %v", got, tt.min, tt.max)
				}
				waits[got] = true
			}
			// What is not WeChat's own number is spread: accounts that failed
			// together do not try again together.
			if spread := len(waits) > 100; spread != (tt.min != tt.max) {
				t.Errorf("%d different waits out of 200", len(waits))
			}
		})
	}
}
