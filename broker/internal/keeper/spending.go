package keeper

import (
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
)

// rememberedPeriods is of how many days or months counts are kept: a wall clock
// that is stepped to another day and back does not forget what was spent.
const rememberedPeriods = 4

// spending is what was spent of one API, as the store has it.
type spending struct {
	Periods []period  `json:"periods"` // the one that was used last first
	Last    time.Time `json:"last"`    // the last call, by the wall clock

	at      credential.Instant // the last call, by both clocks
	unsaved bool
}

// period is a day or a month at WeChat.
type period struct {
	Name  string `json:"name"` // 2026-11-21 or 2026-11
	Count int    `json:"count"`
}

// periodOf names the period in which WeChat counts a call.
func periodOf(api wechat.API, wall time.Time) string {
	if api == wechat.ClearQuotaAPI {
		return wall.In(wechat.Zone).Format("2006-01")
	}
	return wall.In(wechat.Zone).Format(time.DateOnly)
}

// count returns the calls of a period.
func (s *spending) count(name string) int {
	for _, p := range s.Periods {
		if p.Name == name {
			return p.Count
		}
	}
	return 0
}

// set makes count that of a period, which is then the last to be forgotten.
func (s *spending) set(name string, count int) {
	periods := []period{{name, count}}
	for _, p := range s.Periods {
		if p.Name != name && len(periods) < rememberedPeriods {
			periods = append(periods, p)
		}
	}
	s.Periods = periods
}

// resetTime returns when WeChat counts an API anew.
func resetTime(api wechat.API, wall time.Time) time.Time {
	if api == wechat.ClearQuotaAPI {
		year, month, _ := wall.In(wechat.Zone).Date()
		return time.Date(year, month+1, 1, 0, 0, 0, 0, wechat.Zone)
	}
	return wechat.DayEnd(wall)
}
