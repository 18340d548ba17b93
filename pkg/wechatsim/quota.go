package wechatsim

import "time"

// unlimited is what a quota that was switched off resolves to.
const unlimited = -1

// The quotas, by the name they have in an account's state.
const (
	quotaClassic = "token"
	quotaStable  = "stable_token"
	quotaForce   = "stable_token_force"
	quotaTicket  = "getticket"
)

// day numbers the days as WeChat counts quotas: from midnight to midnight in
// China, which has kept UTC+8 all year since 1991.
func day(now time.Time) int64 {
	return (now.Unix() + 8*60*60) / (24 * 60 * 60)
}

// spend counts a call against a quota and says whether it was still within it.
// A refused call is not counted, so that usage never reads above the quota.
func (a *account) spend(name string, limit int, now time.Time) bool {
	if today := day(now); today != a.usedDay {
		a.usedDay = today
		clear(a.used)
	}
	if limit >= 0 && a.used[name] >= limit {
		return false
	}
	a.used[name]++
	return true
}

// ClearQuota forgets today's calls of an account, as its owner can do at
// WeChat. The error says that there is no such account.
func (s *Sim) ClearQuota(appid string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, err := s.account(appid)
	if err != nil {
		return err
	}
	clear(a.used)
	s.history.add(Event{At: s.now(), AppID: appid, Kind: EventChange, Detail: "quota cleared"})
	return nil
}
