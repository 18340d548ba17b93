package keeper

import (
	"context"
	"time"
)

// died values are looked back at for this long.
const diedWindow = 24 * time.Hour

// diedEarly notes that the value of s ended before its time. Once can be a
// person at mp.weixin.qq.com; more often it is another program that fetches
// tokens for this appid, and then every value dies soon after it was fetched.
func (k *Keeper) diedEarly(ctx context.Context, s *slot) {
	now := k.Clock()
	s.died = append(diedSince(s.died, now.Add(-diedWindow)), now)
	log := k.Log.With("kind", s.kind, "version", s.version, "expected_expiry", s.expiry.Wall(), "in_24h", len(s.died))
	if len(s.died) == 1 {
		log.WarnContext(ctx, "WeChat ended a value before its time")
		return
	}
	log.ErrorContext(ctx, "WeChat ends values before their time, again and again: "+outsideAdvice)
}

const outsideAdvice = "something else refreshes this appid; look for another broker, old token scripts, or a platform that was given " +
	"the AppSecret, and reset the AppSecret at mp.weixin.qq.com if you cannot find it"

// diedSince returns the early deaths after that moment.
func diedSince(died []time.Time, after time.Time) []time.Time {
	var recent []time.Time
	for _, t := range died {
		if t.After(after) {
			recent = append(recent, t)
		}
	}
	return recent
}
