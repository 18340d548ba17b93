package config

import "github.com/wxbroker/wxbroker/broker/internal/wechat"

// limits reads how many calls of each API the broker may make in a day. A limit
// that is WeChat's own can only be lowered.
func (r *reader) limits(key string, written fileLimits) map[wechat.API]int {
	limits := map[wechat.API]int{}
	for _, l := range []struct {
		api     wechat.API
		written *calls
		least   int
		most    int
	}{
		{wechat.TokenAPI, written.Token, 10, 100_000},
		{wechat.StableTokenAPI, written.StableToken, 10, 500_000},
		{wechat.ForceRefreshAPI, written.ForceRefresh, 0, 20},
		{wechat.TicketAPI, written.Ticket, 10, 1_000_000},
		{wechat.ProbeAPI, written.Probe, 10, 1_000_000},
		{wechat.QuotaAPI, written.Quota, 0, 1_000_000},
	} {
		switch {
		case l.written == nil:
		case int(*l.written) < l.least || int(*l.written) > l.most:
			r.wrongf(key+"."+string(l.api), "is not between %d and %d calls a day", l.least, l.most)
		default:
			limits[l.api] = int(*l.written)
		}
	}
	return limits
}
