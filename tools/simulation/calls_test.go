package simulation

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wxbroker/wxbroker/broker/brokertest"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

// calls counts the calls that one seed's broker makes to WeChat.
type calls struct {
	mu     sync.Mutex
	days   map[string]map[string]int // by WeChat's day and API
	minute map[string]int            // of this minute, by API
	at     int64                     // this minute
	hour   int                       // since hourAt
	starts int                       // of brokers in this minute and the one before
	halves map[string]int            // how many halves of a limit may be spent in addition, by day
	storm  string                    // what was too much for a minute
	limits map[string]int            // by path, where the broker's default does not apply
	// steady is set where nothing ends a token before its time.
	steady bool
	minted time.Time // the last classic token
	early  string    // how another classic token was minted too early
}

func newCalls(p profile) *calls {
	return &calls{
		limits: p.limits, steady: !p.early && !p.unseen,
		days: map[string]map[string]int{}, minute: map[string]int{}, halves: map[string]int{},
	}
}

// wechatDay is the day at WeChat.
func wechatDay(t time.Time) string {
	return t.In(time.FixedZone("UTC+8", 8*60*60)).Format(time.DateOnly)
}

// perMinute is what one API may see in a minute: a back-off that begins with
// one second, for two kinds of ticket, and reports on top.
const perMinute = 40

func (c *calls) made(call wechatsim.Call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	c.tick(now)
	day := wechatDay(now)
	if c.days[day] == nil {
		c.days[day] = map[string]int{}
	}
	c.days[day][call.API]++
	c.hour++
	c.minute[call.API]++
	most := perMinute
	if call.API == wechatsim.PathDomainIP {
		most = 2 // one in any 60 s
	}
	if n := c.minute[call.API]; n > most+10*c.starts && c.storm == "" {
		c.storm = fmt.Sprintf("%d calls of %s in a minute", n, call.API)
	}
	if call.API == wechatsim.PathToken && call.Outcome == "ok" {
		if after := now.Sub(c.minted); c.steady && after < overlap && c.early == "" {
			c.early = fmt.Sprintf("a classic token was minted %v after the one before, and nothing had ended that", after)
		}
		c.minted = now
	}
}

// overlap is how long WeChat honours a classic token beside its successor. If another
// token is minted within that time, the first one ends.
const overlap = 5 * time.Minute

// tick begins a new minute.
func (c *calls) tick(now time.Time) {
	if minute := now.Unix() / 60; minute != c.at {
		c.at = minute
		clear(c.minute)
		c.starts = 0
	}
}

func (c *calls) started() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tick(time.Now())
	c.starts++
}

// damaged says that the database was damaged. If the broker notices, half a day counts as
// spent.
func (c *calls) damaged() { c.forgotten(1) }

// lost says that today's counts are gone, and that the broker cannot notice.
func (c *calls) lost() { c.forgotten(2) }

func (c *calls) forgotten(halves int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.halves[wechatDay(time.Now())] += halves
}

// over says where the budget was exceeded, "" if nowhere.
func (c *calls) over() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.storm != "" || c.early != "" {
		return c.storm + c.early
	}
	day := wechatDay(time.Now())
	for path, n := range c.days[day] {
		limit, ok := c.limits[path]
		if !ok {
			limit = brokertest.Limit(path)
		}
		if limit += c.halves[day] * limit / 2; n > limit {
			return fmt.Sprintf("%d calls of %s on %s, more than %d", n, path, day, limit)
		}
	}
	return ""
}

// quietHour returns the calls since it was called last, or since forget.
func (c *calls) quietHour() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.hour
	c.hour = 0
	return n
}

// summary is the number of calls of several seeds.
type summary struct {
	mu   sync.Mutex
	days map[string]int            // by profile
	sum  map[string]map[string]int // by profile and API
	most map[string]map[string]int // in one of WeChat's days
}

func newSummary() *summary {
	return &summary{days: map[string]int{}, sum: map[string]map[string]int{}, most: map[string]map[string]int{}}
}

func (s *summary) add(profile string, days int, c *calls) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sum[profile] == nil {
		s.sum[profile], s.most[profile] = map[string]int{}, map[string]int{}
	}
	s.days[profile] += days
	for _, day := range c.days {
		for api, n := range day {
			s.sum[profile][api] += n
			s.most[profile][api] = max(s.most[profile][api], n)
		}
	}
}

func (s *summary) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "calls a virtual day, mean (most), by class of fault\n%-16s %6s  %16s %16s %16s\n", "class", "days", "token", "ticket", "probe")
	for _, profile := range slices.Sorted(maps.Keys(s.days)) {
		cell := func(paths ...string) string {
			sum, most := 0, 0
			for _, path := range paths {
				sum += s.sum[profile][path]
				most = max(most, s.most[profile][path])
			}
			return fmt.Sprintf("%.1f (%d)", float64(sum)/float64(s.days[profile]), most)
		}
		fmt.Fprintf(&b, "%-16s %6d  %16s %16s %16s\n", profile, s.days[profile],
			cell(wechatsim.PathToken, wechatsim.PathStableToken), cell(wechatsim.PathTicket), cell(wechatsim.PathDomainIP))
	}
	return b.String()
}
