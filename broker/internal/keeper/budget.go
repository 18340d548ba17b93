package keeper

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
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

// budget counts an account's calls, in the store before each is made, so that
// no fault, no crash loop and no impatient caller spends what WeChat allows.
type budget struct {
	appid   string
	limits  Limits
	store   Store
	clock   credential.Clock
	log     *slog.Logger
	started credential.Instant
	wrote   bool // since then
	spent   map[wechat.API]*spending
}

// budgetKey is where the store has an API's count.
func budgetKey(api wechat.API) string { return "budget/" + string(api) }

// newBudget takes up what stored has. Where halfSpent is set it is not to be
// trusted: half of each limit counts as spent.
func newBudget(o Options, stored map[string][]byte, halfSpent bool) *budget {
	b := &budget{
		appid: o.Account.AppID, limits: DefaultLimits(), store: o.Store, clock: o.Clock, log: o.Log,
		started: o.Clock.Now(), spent: map[wechat.API]*spending{},
	}
	maps.Copy(b.limits, o.Limits)
	for api := range b.limits {
		s := new(spending)
		b.spent[api] = s
		raw, ok := stored[budgetKey(api)]
		switch {
		case ok && json.Unmarshal(raw, s) == nil:
			if !s.Last.IsZero() {
				// A wall clock that was set back must not hold calls back for longer.
				s.at = b.started.Add(min(0, s.Last.Sub(b.started.Wall())))
			}
		case (ok || halfSpent) && api != wechat.ClearQuotaAPI: // it cannot be read, or is lost
			*s = spending{}
			s.set(periodOf(api, b.started.Wall()), b.limits[api]/2)
			b.save(api, s)
		}
	}
	return b
}

// spend counts a call that is about to be made. The error, of class Budget,
// says why it must not be made and for how long.
func (b *budget) spend(api wechat.API, why purpose) error {
	now := b.clock.Now()
	s := b.spent[api]
	if held := b.heldBack(api, s, why, now); held != nil {
		return held
	}
	before := *s
	today := periodOf(api, now.Wall())
	s.set(today, s.count(today)+1)
	s.Last, s.at = now.Wall(), now
	b.save(api, s)
	if quiet := quietStart - b.started.Elapsed(now); s.unsaved && !b.wrote && quiet > 0 {
		*s, s.unsaved = before, true
		return heldBack(api, quiet, "calls cannot be counted in the database, and the broker has just started")
	}
	return nil
}

// heldBack says why a call must wait, nil if it need not.
func (b *budget) heldBack(api wechat.API, s *spending, why purpose, now credential.Instant) error {
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
		return heldBack(api, rest+jitter(10*time.Second), fmt.Sprintf("%d of the %d calls that the broker allows itself are spent", used, limit))
	case api == wechat.ClearQuotaAPI || why == followUp: // a person decides; or half a recovery is none
		return nil
	case api == wechat.ForceRefreshAPI && since < betweenForces:
		return heldBack(api, betweenForces-since, "WeChat allows one in 30 s")
	case s.unsaved && since < minGap:
		return heldBack(api, uncountedRetry, "calls cannot be counted in the database, so one at a time")
	case used >= paceFrom(limit) && since < rest/time.Duration(left):
		return heldBack(api, rest/time.Duration(left)-since,
			fmt.Sprintf("%d of the %d calls that the broker allows itself are spent, the others have to last until the limit is renewed", used, limit))
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
		API: api, Class: wechat.Budget, Detail: "not called: " + detail, Wait: max(wait, time.Second),
		Advice: "find out what the calls were spent on: see the failures before this, and wxbroker quota",
	}
}

// setBack takes note that the wall clock is behind calls that were made: they
// cannot be later than now.
func (b *budget) setBack(now time.Time) {
	for api, s := range b.spent {
		if s.Last.After(now) {
			s.Last = now
			b.save(api, s)
		}
	}
}

// latest returns the wall clock's last moment of which a call was counted.
func (b *budget) latest() time.Time {
	var latest time.Time
	for _, s := range b.spent {
		if s.Last.After(latest) {
			latest = s.Last
		}
	}
	return latest
}

// list returns what was spent, in the order of the APIs' names.
func (b *budget) list() []Spent {
	var list []Spent
	for _, api := range slices.Sorted(maps.Keys(b.spent)) {
		s, entry := b.spent[api], Spent{API: api, Limit: b.limits[api], Unsaved: b.spent[api].unsaved}
		now := b.clock()
		entry.Used, entry.Reset = s.count(periodOf(api, now)), resetTime(api, now)
		list = append(list, entry)
	}
	return list
}

// uncounted reports whether counts only live in memory.
func (b *budget) uncounted() bool {
	for _, s := range b.spent {
		if s.unsaved {
			return true
		}
	}
	return false
}

// save writes an API's count.
func (b *budget) save(api wechat.API, s *spending) {
	raw, err := json.Marshal(s)
	if err == nil {
		err = b.store.Put(b.appid, budgetKey(api), raw)
	}
	if (err != nil) != s.unsaved {
		if err != nil {
			b.log.Error("cannot count calls in the database, counting in memory: a restart now would forget it", "api", api, "error", err)
		} else {
			b.log.Info("calls are counted in the database again", "api", api)
		}
	}
	s.unsaved = err != nil
	b.wrote = b.wrote || err == nil
}

// saveAgain writes what could not be written before.
func (b *budget) saveAgain() {
	for api, s := range b.spent {
		if s.unsaved {
			b.save(api, s)
		}
	}
}

// refund takes back a call that WeChat refused without counting it.
func (b *budget) refund(api wechat.API) {
	s, today := b.spent[api], periodOf(api, b.clock())
	s.set(today, s.count(today)-1)
	b.save(api, s)
}

// renew forgets today's calls, as WeChat just did.
func (b *budget) renew() {
	for api, s := range b.spent {
		if api != wechat.ClearQuotaAPI {
			s.set(periodOf(api, b.clock()), 0)
			b.save(api, s)
		}
	}
}
