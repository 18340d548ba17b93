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

// DefaultLimits returns the limits that WeChat's documents give. Where the
// documents give none, or a very high one, the limit leaves room for the worst day
// that was simulated. WeChat calls the ticket's limit "very low" and gives no
// number.
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
	// reserve is the part of a limit that only recovery may use: 1/10.
	reserve = 10
	// quietStart is how long the keeper calls nothing after its start, as long as
	// it could not write a count. The process before this one may have died of the
	// same trouble, and a row of crashes must not spend the limit uncounted.
	quietStart = time.Minute
	// uncountedRetry is the least time before a failed call is repeated while
	// counts cannot be written.
	uncountedRetry = time.Minute
	// betweenForces is the least time that WeChat allows between two force_refresh
	// calls.
	betweenForces = 30 * time.Second
)

// purpose is what a call is for.
type purpose int

const (
	scheduled purpose = iota // the value that we have is still good
	recovery                 // we have no value that WeChat honours, or not for long
	followUp                 // the second call of a recovery, right after the first
)

// budget counts an account's calls, so that no fault, no crash loop and no
// impatient caller spends what WeChat allows.
type budget struct {
	limits  Limits
	started credential.Instant
	wrote   bool // a count has been written since started
	spent   map[wechat.API]*spending
}

// newBudget returns the budget of a keeper that begins at now. Nothing is spent
// yet.
func newBudget(limits Limits, now credential.Instant) *budget {
	b := &budget{limits: DefaultLimits(), started: now, spent: map[wechat.API]*spending{}}
	maps.Copy(b.limits, limits)
	for api := range b.limits {
		b.spent[api] = new(spending)
	}
	return b
}

// halve makes half of an API's limit count as spent, because the real count is
// lost.
func (b *budget) halve(api wechat.API, now credential.Instant) {
	*b.spent[api] = spending{}
	b.spent[api].set(periodOf(api, now.Wall()), b.limits[api]/2)
}

// heldBack returns why a call must wait, or nil if it need not wait. The error is
// of class Budget.
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
		return heldBackError(api, rest+c.of(time.Second), fmt.Sprintf("%d of the %d calls that the broker allows itself are spent", used, limit))
	case api == wechat.ClearQuotaAPI || why == followUp: // a person decides; and a recovery without its second call is useless
		return nil
	case api == wechat.ForceRefreshAPI && since < betweenForces:
		return heldBackError(api, betweenForces-since, "WeChat allows one in 30 s")
	case s.uncounted && since < minGap:
		return heldBackError(api, uncountedRetry, "calls cannot be counted in the database, so one at a time")
	case used >= paceFrom(limit) && since < rest/time.Duration(left):
		return heldBackError(api, rest/time.Duration(left)-since,
			fmt.Sprintf("%d of the %d calls that the broker allows itself are spent, the others have to last until the limit is renewed", used, limit))
	}
	return nil
}

// quiet returns why a call must wait whose count could not be written, or nil if
// it need not wait.
func (b *budget) quiet(api wechat.API, now credential.Instant) error {
	if quiet := quietStart - b.started.Elapsed(now); !b.wrote && quiet > 0 {
		return heldBackError(api, quiet, "calls cannot be counted in the database, and the broker has just started")
	}
	return nil
}

// paceFrom returns the count from which the remaining calls are spread over the
// rest of the day. It is three quarters of the limit, so that an ordinary fault is
// over before any call has to wait.
func paceFrom(limit int) int { return max(1, limit-limit/4) }

// heldBackError is the error for a call that is not made.
func heldBackError(api wechat.API, wait time.Duration, detail string) error {
	return &wechat.Error{
		API: api, Class: wxapi.Budget, Detail: "not called: " + detail, Wait: max(wait, time.Second),
		Advice: "find out what the calls were spent on: see the failures before this, and wxbroker quota",
	}
}

// nextVersion returns the version to reserve for a value that is about to be
// fetched. It is the current millisecond, but always above every version that was
// ever handed out or reserved.
func (b *budget) nextVersion(s *slot, now credential.Instant) int64 {
	version := max(now.Wall().UnixMilli(), s.version+1, s.highestClaim+1)
	for _, spent := range b.spent {
		if open, ok := spent.open[s.kind]; ok {
			version = max(version, open.Version+1)
		}
	}
	return version
}

// openIntents returns the open intents of a kind, by API.
func (b *budget) openIntents(kind credential.Kind) map[wechat.API]intent {
	found := map[wechat.API]intent{}
	for api, s := range b.spent {
		if open, ok := s.open[kind]; ok {
			found[api] = open
		}
	}
	return found
}

// close closes the intents of a kind, because WeChat has answered. The caller
// stores the answer together with this.
func (b *budget) close(kind credential.Kind) {
	for _, s := range b.spent {
		if _, ok := s.open[kind]; ok {
			delete(s.open, kind)
			s.closingsUnsaved = true
		}
	}
}

// setBack corrects calls that the wall clock, which was set back, puts into the
// future. They cannot be later than now.
func (b *budget) setBack(now time.Time) {
	for _, s := range b.spent {
		if s.last.After(now) {
			s.last, s.countsUnsaved = now, true
		}
	}
}

// latest returns when the last call was counted, by the wall clock.
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
