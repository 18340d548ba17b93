package keeper

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

// Limits are how many calls of an API the broker allows itself for one
// account, in a day or (clear_quota) in a month.
type Limits map[wechat.API]int

// DefaultLimits returns what WeChat's documents say, and where they say
// nothing or much what leaves room for the worst day that was simulated. WeChat
// calls the ticket's limit "very low" and gives no number.
//
// Sources: https://developers.weixin.qq.com/doc/offiaccount/Message_Management/API_Call_Limits.html (token),
// https://developers.weixin.qq.com/doc/service/api/base/api_getstableaccesstoken.html (stable_token, force_refresh),
// https://developers.weixin.qq.com/doc/service/api/apimanage/api_clearquotabyappsecret.html (clear_quota).
func DefaultLimits() Limits {
	return Limits{
		wechat.TokenAPI:        2000,
		wechat.StableTokenAPI:  10_000,
		wechat.ForceRefreshAPI: 20,
		wechat.TicketAPI:       2000,
		wechat.ProbeAPI:        2000,
		wechat.QuotaAPI:        1000,
		wechat.ClearQuotaAPI:   10,
	}
}

const (
	// reserve is the part of a limit that is kept for recovery: 1/10.
	reserve = 10
	// quietStart is how long nothing is called after the start as long as no
	// count could be written: the process before this one may have died of it.
	quietStart = time.Minute
	// uncountedRetry is how soon a failed call is repeated then, at least.
	uncountedRetry = time.Minute
	// betweenForces is WeChat's limit on force_refresh.
	betweenForces = 30 * time.Second
)

// purpose says what a call is for.
type purpose int

const (
	scheduled purpose = iota // the value that we have still serves
	recovery                 // we have none that WeChat honours, or not for long
	followUp                 // the second call of a recovery, right after the first
)

// budget counts an account's calls, so that no fault, no crash loop and no
// impatient caller spends what WeChat allows.
type budget struct {
	limits  Limits
	started credential.Instant
	wrote   bool // a count has been written since then
	spent   map[wechat.API]*spending
}

// intent is a call that is about to be made, or may have been: it is stored
// with the call's count, and closed when the answer is stored.
type intent struct {
	Kind credential.Kind `json:"-"` // "" for a call that brings no credential
	// Version is the one that is reserved for the answer.
	Version int64 `json:"version"`
	// Start is when the call was counted, by the wall clock.
	Start time.Time `json:"start"`

	api   wechat.API
	start credential.Instant
}

// newBudget returns the budget of a keeper that begins at now, with nothing
// spent.
func newBudget(limits Limits, now credential.Instant) *budget {
	b := &budget{limits: DefaultLimits(), started: now, spent: map[wechat.API]*spending{}}
	maps.Copy(b.limits, limits)
	for api := range b.limits {
		b.spent[api] = new(spending)
	}
	return b
}

// halve makes half of an API's limit count as spent: what was spent is lost.
func (b *budget) halve(api wechat.API, now credential.Instant) {
	*b.spent[api] = spending{}
	b.spent[api].set(periodOf(api, now.Wall()), b.limits[api]/2)
}

// heldBack says why a call must wait, nil if it need not. The error is of class
// Budget.
func (b *budget) heldBack(api wechat.API, why purpose, now credential.Instant, c chance) error {
	s := b.spent[api]
	limit, used := b.limits[api], s.count(periodOf(api, now.Wall()))
	rest := resetTime(api, now.Wall()).Sub(now.Wall())
	left, last := limit-used, s.at
	if why == scheduled {
		left -= limit / reserve
	}
	since := time.Duration(1<<63 - 1)
	if !last.IsZero() {
		since = last.Elapsed(now)
	}
	switch {
	case left <= 0:
		return heldBack(api, rest+c.of(time.Second), fmt.Sprintf("%d of the %d calls that the broker allows itself are spent", used, limit))
	case api == wechat.ClearQuotaAPI || why == followUp: // a person decides; or half a recovery is none
		return nil
	case api == wechat.ForceRefreshAPI && since < betweenForces:
		return heldBack(api, betweenForces-since, "WeChat allows one in 30 s")
	case s.uncounted && since < minGap:
		return heldBack(api, uncountedRetry, "calls cannot be counted in the database, so one at a time")
	case used >= paceFrom(limit) && since < rest/time.Duration(left):
		return heldBack(api, rest/time.Duration(left)-since,
			fmt.Sprintf("%d of the %d calls that the broker allows itself are spent, the others have to last until the limit is renewed", used, limit))
	}
	return nil
}

// quiet says why a call must wait whose count could not be written, nil if it
// need not.
func (b *budget) quiet(api wechat.API, now credential.Instant) error {
	if quiet := quietStart - b.started.Elapsed(now); !b.wrote && quiet > 0 {
		return heldBack(api, quiet, "calls cannot be counted in the database, and the broker has just started")
	}
	return nil
}

// paceFrom is the count from which on the calls that are left are spread over
// the rest of the day: three quarters of the limit, so that an ordinary fault
// is over before anything has to wait.
func paceFrom(limit int) int { return max(1, limit-limit/4) }

// heldBack is the error for a call that is not made.
func heldBack(api wechat.API, wait time.Duration, detail string) error {
	return &wechat.Error{
		API: api, Class: wxapi.Budget, Detail: "not called: " + detail, Wait: max(wait, time.Second),
		Advice: "find out what the calls were spent on: see the failures before this, and wxbroker quota",
	}
}

// nextVersion returns the version to reserve for a value that is about to be
// fetched: the current millisecond, but above every version that was ever handed
// out or reserved.
func (b *budget) nextVersion(s *slot, now credential.Instant) int64 {
	version := max(now.Wall().UnixMilli(), s.version+1, s.claimed+1)
	for _, spent := range b.spent {
		if open, ok := spent.open[s.kind]; ok {
			version = max(version, open.Version+1)
		}
	}
	return version
}

// opened returns the intents of a kind that are open, by API.
func (b *budget) opened(kind credential.Kind) map[wechat.API]intent {
	found := map[wechat.API]intent{}
	for api, s := range b.spent {
		if open, ok := s.open[kind]; ok {
			found[api] = open
		}
	}
	return found
}

// close closes the intents of a kind: WeChat has answered, and the answer is to
// be stored with this.
func (b *budget) close(kind credential.Kind) {
	for _, s := range b.spent {
		if _, ok := s.open[kind]; ok {
			delete(s.open, kind)
			s.closed = true
		}
	}
}

// setBack takes note that the wall clock is behind calls that were made: they
// cannot be later than now.
func (b *budget) setBack(now time.Time) {
	for _, s := range b.spent {
		if s.last.After(now) {
			s.last, s.counted = now, true
		}
	}
}

// latest returns the wall clock's last moment of which a call was counted.
func (b *budget) latest() time.Time {
	var latest time.Time
	for _, s := range b.spent {
		if s.last.After(latest) {
			latest = s.last
		}
	}
	return latest
}

// list returns what was spent, in the order of the APIs' names.
func (b *budget) list(now time.Time) []Spent {
	var list []Spent
	for _, api := range slices.Sorted(maps.Keys(b.spent)) {
		s := b.spent[api]
		list = append(list, Spent{
			API: api, Used: s.count(periodOf(api, now)), Limit: b.limits[api], Reset: resetTime(api, now), Unsaved: s.uncounted,
		})
	}
	return list
}

// uncounted reports whether counts live only in memory.
func (b *budget) uncounted() bool {
	for _, s := range b.spent {
		if s.uncounted {
			return true
		}
	}
	return false
}

// refund takes back a call that WeChat refused without counting it.
func (b *budget) refund(api wechat.API, now time.Time) {
	s, today := b.spent[api], periodOf(api, now)
	s.set(today, s.count(today)-1)
}

// renew forgets today's calls, as WeChat just did.
func (b *budget) renew(now time.Time) {
	for api, s := range b.spent {
		if api != wechat.ClearQuotaAPI {
			s.set(periodOf(api, now), 0)
		}
	}
}

// rememberedPeriods is of how many days or months counts are kept: a wall clock
// that is stepped to another day and back does not forget what was spent.
const rememberedPeriods = 4

// spending is what was spent of one API.
type spending struct {
	counts map[string]int // by day or month, as WeChat counts
	last   time.Time      // the last call, by the wall clock
	at     credential.Instant
	// open are the intents that no stored answer has closed: of each kind the last
	// version, which is above those before it, and the first start.
	open map[credential.Kind]intent

	// What the store does not have: counts, and that intents were closed.
	counted, closed bool
	uncounted       bool // the store has refused counts since
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

// set makes count that of a period. The earliest of the others is forgotten when
// there are too many.
func (s *spending) set(period string, count int) {
	if s.counts == nil {
		s.counts = map[string]int{}
	}
	s.counts[period], s.counted = count, true
	for _, other := range slices.Sorted(maps.Keys(s.counts)) {
		if len(s.counts) > rememberedPeriods && other != period {
			delete(s.counts, other)
		}
	}
}

// spend counts a call, with its intent if it may bring a credential. undo takes
// that back.
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
		s.counted, s.uncounted = true, true // the store may yet write what it refused
	}
}

// unsaved reports whether the store does not have all of it.
func (s *spending) unsaved() bool { return s.counted || s.closed }

// resetTime returns when WeChat counts an API anew.
func resetTime(api wechat.API, wall time.Time) time.Time {
	if api == wechat.ClearQuotaAPI {
		year, month, _ := wall.In(wxapi.Zone).Date()
		return time.Date(year, month+1, 1, 0, 0, 0, 0, wxapi.Zone)
	}
	return wxapi.DayEnd(wall)
}
