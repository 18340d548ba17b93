package wxapi

import "time"

// Zone is the time zone of WeChat's day, by which quotas are counted. It is UTC+8
// without daylight saving.
var Zone = time.FixedZone("UTC+8", 8*60*60)

// DayEnd returns the end of the day of WeChat's that contains now.
func DayEnd(now time.Time) time.Time {
	year, month, day := now.In(Zone).Date()
	return time.Date(year, month, day+1, 0, 0, 0, 0, Zone)
}
