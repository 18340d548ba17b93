package keeper

import (
	"fmt"
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

// Status is one account as an operator sees it. It holds no secret. Nothing in it
// changes once it was returned.
type Status struct {
	AppID  string
	Kinds  []KindStatus
	Budget []Spent
}

// KindStatus is one kind of credential. Times are the wall clock's.
type KindStatus struct {
	Kind    credential.Kind
	Version int64     // 0 while there is none
	Expiry  time.Time // hard expiry, zero while there is none
	Refused bool      // WeChat refused the value, and there is no other yet
	// Undated is set while nobody knows how old the value is, and it is not
	// handed out.
	Undated bool
	NextTry time.Time // the next scheduled call, zero when it is due
	// Unsaved is set while the store does not have this version.
	Unsaved bool
	// EarlyEnds are the moments at which values ended before their time, the oldest
	// first. Moments that are more than a day old may still be there.
	EarlyEnds []time.Time
	// LastError is the last call's failure, nil when it succeeded. Since is when
	// the row of failures began, and Failures is how many they are.
	LastError *wechat.Error
	Since     time.Time
	Failures  int
}

// EarlyDeaths returns how many values ended before their time in the 24 hours
// before now.
func (s KindStatus) EarlyDeaths(now time.Time) int {
	return len(earlyEndsSince(s.EarlyEnds, now.Add(-earlyEndWindow)))
}

// Gone reports whether there is no value that may be used at now.
func (s KindStatus) Gone(now time.Time) bool {
	return s.Version == 0 || s.Refused || s.Undated || !s.Expiry.After(now)
}

// Spent is how many calls of one API were made in the status's day, or for
// clear_quota in its month.
type Spent struct {
	API         wechat.API
	Used, Limit int
	Reset       time.Time // when counting begins anew
	Unsaved     bool      // counted in memory only
}

// Advice returns what a person should look at, a sentence each, the gravest
// first. It is empty when all is well.
func (s Status) Advice(now time.Time) []string {
	var advice []string
	add := func(format string, args ...any) { advice = append(advice, fmt.Sprintf(format, args...)) }
	mentioned := map[wechat.API]bool{} // APIs of which another sentence says that the calls are spent
	for _, k := range s.Kinds {
		if e := k.LastError; e != nil && e.Class == wxapi.Budget {
			mentioned[e.API] = true
		}
		gone := k.Gone(now)
		switch e := k.LastError; {
		case e != nil && gone:
			add("there is no live %s: %s", k.Kind, e.Sentence())
		case e != nil:
			add("the %s is good until %s and cannot be renewed: %s", k.Kind, k.Expiry.UTC().Format(time.RFC3339), e.Sentence())
		case gone:
			add("there is no live %s yet", k.Kind)
		}
	}
	for _, k := range s.Kinds {
		if n := k.EarlyDeaths(now); n > 1 {
			add("%d values of the %s ended before their time in the last 24 hours: %s", n, k.Kind, outsideAdvice)
		}
	}
	for _, k := range s.Kinds {
		if k.Unsaved {
			add("the database does not have the current %s: make room on its disk, or a restart loses it", k.Kind)
		}
	}
	for _, b := range s.Budget {
		if b.Used >= paceFrom(b.Limit) && b.API != wechat.ClearQuotaAPI && now.Before(b.Reset) && !mentioned[b.API] {
			add("%d of the %d calls of %s that the broker allows itself are spent: find out on what", b.Used, b.Limit, b.API)
		}
		if b.Unsaved {
			add("calls of %s cannot be counted in the database: make room on its disk", b.API)
		}
	}
	return advice
}

// Status returns the account's state as of its last change.
func (k *Keeper) Status() Status { return *k.status.Load() }

// show lets Status return the present state.
func (k *Keeper) show() {
	status := Status{AppID: k.Account.AppID, Budget: k.budget.list(k.Clock())}
	for _, s := range k.slots() {
		kind := KindStatus{
			Kind: s.kind, Refused: s.refused, Undated: s.undated, Unsaved: s.saveFailed, EarlyEnds: s.earlyEnds,
			LastError: s.trouble.visible(), Since: s.trouble.since, Failures: s.trouble.count,
		}
		if s.held() {
			kind.Version, kind.Expiry = s.version, s.expiry.Wall()
		}
		if next := s.next(); !next.IsZero() {
			kind.NextTry = next.Wall()
		}
		status.Kinds = append(status.Kinds, kind)
	}
	k.status.Store(&status)
	k.showIssued()
}
