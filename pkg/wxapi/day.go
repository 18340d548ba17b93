package wxapi

import "time"

// Zone is where WeChat's day begins, which quotas are counted by: UTC+8 without
// daylight saving.
var Zone = time.FixedZone("UTC+8", 8*60*60)

// DayEnd returns when WeChat's day of that moment ends.
func DayEnd(now time.Time) time.Time {
	year, month, day := now.In(Zone).Date()
	return time.Date(year, month, day+1, 0, 0, 0, 0, Zone)
}
