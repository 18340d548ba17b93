package wechatsim

import "time"

// unlimited stands for a quota that was switched off.
const unlimited = -1

// The quotas, by the name they have in an account's state.
const (
	quotaClassic  = "token"
	quotaStable   = "stable_token"
	quotaForce    = "stable_token_force"
	quotaTicket   = "getticket"
	quotaTemplate = "template_send"
)

// day numbers the days as WeChat counts quotas: from midnight to midnight in
// China, which has kept UTC+8 all year since 1991.
func day(now time.Time) int64 {
	return (now.Unix() + 8*60*60) / (24 * 60 * 60)
}

// month numbers the months. They begin and end with those days.
func month(now time.Time) int {
	china := now.UTC().Add(8 * time.Hour)
	return china.Year()*12 + int(china.Month())
}

// today returns the calls of today. At midnight there are none.
func (a *account) today(now time.Time) map[string]int {
	if today := day(now); today != a.usedDay {
		a.usedDay = today
		clear(a.used)
	}
	return a.used
}

// spend counts a call against a quota and reports whether the call was within it. A
// refused call is not counted, so that the usage is never above the quota.
func (a *account) spend(name string, limit int, now time.Time) bool {
	used := a.today(now)
	if limit >= 0 && used[name] >= limit {
		return false
	}
	used[name]++
	return true
}

// spendClear counts a clearing against the month's limit and reports whether it was
// within that.
func (a *account) spendClear(limit int, now time.Time) bool {
	if current := month(now); current != a.clearsMonth {
		a.clearsMonth, a.clears = current, 0
	}
	if limit >= 0 && a.clears >= limit {
		return false
	}
	a.clears++
	return true
}

// ClearQuota forgets today's calls of an account, as [PathClearQuota] does, but
// is no call and does not count against the month. The error says that there is
// no such account.
func (s *Sim) ClearQuota(appid string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, err := s.account(appid)
	if err != nil {
		return err
	}
	s.clearQuota(a, s.now())
	return nil
}

// clearQuota forgets every count of today, forced refreshes included.
func (s *Sim) clearQuota(a *account, now time.Time) {
	clear(a.used)
	s.history.add(Event{At: now, AppID: a.appid, Kind: EventChange, Detail: "quota cleared"})
}
