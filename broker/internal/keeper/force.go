package keeper

import (
	"time"

	"github.com/wxbroker/wxbroker/pkg/credential"
)

// WeChat's limits on force_refresh.
const (
	forcesPerDay  = 20 // from midnight UTC+8
	betweenForces = 30 * time.Second
)

// forcedRefreshes counts the forced refreshes of this process, so that a token
// that WeChat refuses again and again does not spend them all at once.
type forcedRefreshes struct {
	day   string // the last one's, in quotaZone
	count int    // on that day
	last  credential.Instant
}

// allow reports whether one may be made at now, and counts it.
func (f *forcedRefreshes) allow(now credential.Instant) bool {
	if !f.last.IsZero() && f.last.Elapsed(now) < betweenForces {
		return false
	}
	if day := now.Wall().In(quotaZone).Format(time.DateOnly); day != f.day {
		f.day, f.count = day, 0
	}
	if f.count >= forcesPerDay {
		return false
	}
	f.count++
	f.last = now
	return true
}
