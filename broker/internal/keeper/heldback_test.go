package keeper

import (
	"errors"
	"testing"
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

// TestWhatIsHeldBack at noon in China, where half of the day's calls would be
// spent on an even day.
func TestWhatIsHeldBack(t *testing.T) {
	const limit = 1000
	for _, tt := range []struct {
		name      string
		api       wechat.API
		used      int
		last      time.Duration // how long ago the last call was; 0 for none
		uncounted bool
		why       purpose
		wait      time.Duration // 0: it may be made
	}{
		{name: "the first", api: wechat.TicketAPI},
		{name: "many an hour, while there are enough", api: wechat.TicketAPI, used: 749, last: time.Second},
		{name: "three quarters are spent: the rest is spread over the day", api: wechat.TicketAPI, used: 750, last: time.Second, wait: 12*time.Hour/150 - time.Second},
		{name: "and waited out", api: wechat.TicketAPI, used: 750, last: 12 * time.Hour / 150},
		{name: "what is kept for recovery is not scheduled", api: wechat.TicketAPI, used: 900, last: time.Hour, wait: 12 * time.Hour},
		{name: "but there for recovery", api: wechat.TicketAPI, used: 900, last: time.Hour, why: recovery},
		{name: "spread as well", api: wechat.TicketAPI, used: 900, last: time.Second, why: recovery, wait: 12*time.Hour/100 - time.Second},
		{name: "the second half of a recovery does not wait", api: wechat.TicketAPI, used: 900, last: time.Second, why: followUp},
		{name: "unless there is none left", api: wechat.TicketAPI, used: limit, last: time.Hour, why: followUp, wait: 12 * time.Hour},
		{name: "uncounted, right after another", api: wechat.TicketAPI, used: 10, last: 500 * time.Millisecond, uncounted: true, wait: time.Minute},
		{name: "uncounted, a second later", api: wechat.TicketAPI, used: 10, last: time.Second, uncounted: true},
		{name: "forced refreshes are 30 s apart", api: wechat.ForceRefreshAPI, used: 1, last: 10 * time.Second, why: recovery, wait: 20 * time.Second},
		{name: "and not more", api: wechat.ForceRefreshAPI, used: 1, last: 30 * time.Second, why: recovery},
		{name: "a person's clearing of quotas is not paced", api: wechat.ClearQuotaAPI, used: 999, last: time.Second, why: recovery},
	} {
		t.Run(tt.name, func(t *testing.T) {
			noon := time.Date(2026, 11, 21, 12, 0, 0, 0, wxapi.Zone)
			now := credential.Clock(func() time.Time { return noon }).Now()
			b := newBudget(Limits{tt.api: limit}, now.Add(-time.Hour))
			s := b.spent[tt.api]
			s.set(periodOf(tt.api, noon), tt.used)
			s.uncounted = tt.uncounted
			if tt.last > 0 {
				s.at = now.Add(-tt.last)
			}
			err := b.heldBack(tt.api, tt.why, now, 0)
			e, _ := errors.AsType[*wechat.Error](err)
			switch {
			case tt.wait == 0 && err != nil:
				t.Errorf("held back: %v", err)
			case tt.wait > 0 && (e == nil || e.Class != wxapi.Budget || e.Wait != tt.wait || e.API != tt.api):
				t.Errorf("%+v, want a wait of %v", e, tt.wait)
			}
		})
	}
}

func TestAQuietStart(t *testing.T) {
	at := from()
	b := newBudget(nil, at(0))
	for after, wait := range map[time.Duration]time.Duration{0: time.Minute, 45 * time.Second: 15 * time.Second, time.Minute: 0, time.Hour: 0} {
		err := b.quiet(wechat.TokenAPI, at(after))
		if e, _ := errors.AsType[*wechat.Error](err); (err != nil) != (wait > 0) || e != nil && e.Wait != wait {
			t.Errorf("after %v: %v, want a wait of %v", after, err, wait)
		}
	}
	b.wrote = true
	if err := b.quiet(wechat.TokenAPI, at(0)); err != nil {
		t.Errorf("once a count was written: %v", err)
	}
}

// TestPeriods: a clock that is stepped to other days and back forgets nothing of
// today, and what is remembered does not grow.
func TestPeriods(t *testing.T) {
	s := new(spending)
	for i, day := range []string{"2026-12-01", "2026-12-02", "2026-11-30", "2026-12-01", "2031-01-01", "2026-12-01", "2031-01-02"} {
		s.set(day, s.count(day)+i+1)
	}
	if got := s.count("2026-12-01"); got != 1+4+6 {
		t.Errorf("today's count is %d", got)
	}
	if len(s.counts) != rememberedPeriods || s.count("2026-11-30") != 0 {
		t.Errorf("remembered are %v", s.counts)
	}
}
