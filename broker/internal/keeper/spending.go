package keeper

import (
	"maps"
	"slices"
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

// intent is a call that is about to be made, or that may have been made. It is
// stored with the call's count, and closed when the answer is stored.
type intent struct {
	Kind credential.Kind `json:"-"` // "" for a call that brings no credential
	// Version is the version that is reserved for the answer.
	Version int64 `json:"version"`
	// Start is when the call was counted, by the wall clock.
	Start time.Time `json:"start"`

	api   wechat.API
	start credential.Instant
}

// rememberedPeriods is how many days or months have their counts remembered. So
// counts survive a wall clock that is stepped to another day and back.
const rememberedPeriods = 4

// spending is what was spent of one API.
type spending struct {
	counts map[string]int // by day or month, as WeChat counts
	last   time.Time      // the last call, by the wall clock
	at     credential.Instant
	// open are the intents that no stored answer has closed. Where a kind has had
	// several, its entry has the last version, which is above those before it, and
	// the first start.
	open map[credential.Kind]intent

	// The store lacks counts, or the fact that intents were closed.
	countsUnsaved, closingsUnsaved bool
	// uncounted is set while the store refuses counts.
	uncounted bool
}

// periodOf names the period in which WeChat counts a call: 2026-11-21 or 2026-11.
func periodOf(api wechat.API, wall time.Time) string {
	if api == wechat.ClearQuotaAPI {
		return wall.In(wxapi.Zone).Format("2006-01")
	}
	return wall.In(wxapi.Zone).Format(time.DateOnly)
}

// count returns the calls of a period.
func (s *spending) count(period string) int { return s.counts[period] }

// set sets the count of a period. When there are too many periods, the earliest
// of the others is forgotten.
func (s *spending) set(period string, count int) {
	if s.counts == nil {
		s.counts = map[string]int{}
	}
	s.counts[period], s.countsUnsaved = count, true
	for _, other := range slices.Sorted(maps.Keys(s.counts)) {
		if len(s.counts) > rememberedPeriods && other != period {
			delete(s.counts, other)
		}
	}
}

// spend counts a call, with its intent if the call may bring a credential. undo
// takes that back.
func (s *spending) spend(in intent) (undo func()) {
	before := *s
	before.counts, before.open = maps.Clone(s.counts), maps.Clone(s.open)
	period := periodOf(in.api, in.start.Wall())
	s.set(period, s.count(period)+1)
	s.last, s.at = in.start.Wall(), in.start
	if in.Kind != "" {
		if s.open == nil {
			s.open = map[credential.Kind]intent{}
		}
		if before, ok := s.open[in.Kind]; ok {
			in.Start = before.Start
		}
		s.open[in.Kind] = in
	}
	return func() {
		*s = before
		s.countsUnsaved, s.uncounted = true, true // the store may yet write what it refused
	}
}

// unsaved reports whether the store lacks a part of the spending.
func (s *spending) unsaved() bool { return s.countsUnsaved || s.closingsUnsaved }

// resetTime returns when WeChat next begins to count an API from zero.
func resetTime(api wechat.API, wall time.Time) time.Time {
	if api == wechat.ClearQuotaAPI {
		year, month, _ := wall.In(wxapi.Zone).Date()
		return time.Date(year, month+1, 1, 0, 0, 0, 0, wxapi.Zone)
	}
	return wxapi.DayEnd(wall)
}
