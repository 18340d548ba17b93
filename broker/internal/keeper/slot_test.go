package keeper

import (
	"strings"
	"testing"
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

// live returns a slot with a value that was fetched at 0 and lives an hour.
func live(at func(time.Duration) credential.Instant) *slot {
	return &slot{
		kind: credential.AccessToken, value: credential.NewSecret("a"), version: 1000,
		fetched: at(0), lifetime: time.Hour, expiry: at(time.Hour), due: at(50 * time.Minute),
	}
}

func TestWhatMayBeUsed(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*slot)
		at     time.Duration
		live   bool
		why    purpose
	}{
		{"young", nil, time.Minute, true, scheduled},
		{"two minutes before its end", nil, 58 * time.Minute, true, scheduled},
		{"in its last minute", nil, time.Hour - 30*time.Second, true, recovery},
		{"at its end", nil, time.Hour, false, recovery},
		{"refused", func(s *slot) { s.refused = true }, time.Minute, false, recovery},
		{"of unknown age", func(s *slot) { s.undated = true }, time.Minute, false, recovery},
		{"none", func(s *slot) { s.value = credential.Secret{} }, time.Minute, false, recovery},
		{"a short one, in the last tenth of its life", func(s *slot) { s.lifetime = 10 * time.Second }, time.Hour - 500*time.Millisecond, true, recovery},
		{"a short one, before that", func(s *slot) { s.lifetime = 10 * time.Second }, time.Hour - 2*time.Second, true, scheduled},
	} {
		t.Run(tt.name, func(t *testing.T) {
			at := from()
			s := live(at)
			if tt.change != nil {
				tt.change(s)
			}
			if got := s.isLive(at(tt.at)); got != tt.live {
				t.Errorf("live %v", got)
			}
			if got := s.purpose(at(tt.at)); got != tt.why {
				t.Errorf("a call is for %v, want %v", got, tt.why)
			}
		})
	}
}

func TestWhenItIsDue(t *testing.T) {
	at := from()
	s := live(at)
	for _, tt := range []struct {
		name  string
		retry credential.Instant
		at    time.Duration
		due   bool
	}{
		{"not yet", credential.Instant{}, 49 * time.Minute, false},
		{"at its due moment", credential.Instant{}, 50 * time.Minute, true},
		{"while a failure is waited out", at(55 * time.Minute), 54 * time.Minute, false},
		{"when that is over, though it is not due", at(10 * time.Minute), 10 * time.Minute, true},
	} {
		s.trouble.retry = tt.retry
		if got := s.isDue(at(tt.at)); got != tt.due {
			t.Errorf("%s: due %v", tt.name, got)
		}
	}
	if !new(slot).isDue(at(0)) {
		t.Error("what was never fetched is not due")
	}
}

func TestTake(t *testing.T) {
	for _, tt := range []struct {
		name    string
		change  func(*slot)
		value   string
		rotated bool
		version int64
		past    int
		stores  change
	}{
		{"another value", nil, "b", true, 2000, 1, all},
		{"the first", func(s *slot) { s.value, s.version = credential.Secret{}, 0 }, "b", true, 2000, 0, all},
		{"the same", nil, "a", false, 1000, 0, momentsOnly},
		{"the same, which an edge proved to be an old copy's", func(s *slot) { s.remint = true }, "a", false, 2000, 0, all},
		{"the same, of unknown age until now", func(s *slot) { s.undated = true }, "a", false, 1000, 0, all},
		{"the same, while the store has a wait of WeChat's", func(s *slot) { s.storedWait = true }, "a", false, 1000, 0, all},
		{"the same, while the store lacks more", func(s *slot) { s.changed = all }, "a", false, 1000, 0, all},
	} {
		t.Run(tt.name, func(t *testing.T) {
			at := from()
			s := live(at)
			s.unansweredSince, s.trouble = at(0), trouble{last: &wechat.Error{Class: wxapi.Transient}, count: 3, retry: at(time.Hour)}
			if tt.change != nil {
				tt.change(s)
			}
			rotated := s.take(grant(tt.value, time.Hour), at(time.Minute), 2000)
			if rotated != tt.rotated || s.version != tt.version || len(s.past) != tt.past || s.changed != tt.stores {
				t.Errorf("rotated %v, version %d, %d past values, to be stored %v", rotated, s.version, len(s.past), s.changed)
			}
			if s.value.Reveal() != tt.value || s.undated || s.remint || !s.unansweredSince.IsZero() || s.trouble != (trouble{}) {
				t.Errorf("afterwards %+v", s)
			}
		})
	}
}

func TestClaims(t *testing.T) {
	for _, tt := range []struct {
		name    string
		change  func(*slot)
		version int64
		classic bool
		news    bool
		due     time.Duration
	}{
		{"ours", nil, 1000, false, false, 50 * time.Minute},
		{"an older one", nil, 999, false, false, 50 * time.Minute},
		{"a newer one", nil, 1001, false, true, time.Minute},
		{"a newer one, of a classic token: not within its overlap", nil, 1001, true, true, 5 * time.Minute},
		{"one that was claimed before", func(s *slot) { s.highestClaim = 1001 }, 1001, false, false, 50 * time.Minute},
		{"when it is due sooner anyway", func(s *slot) { s.due = s.fetched.Add(time.Second) }, 1001, false, true, time.Second},
		{"when there is nothing", func(s *slot) { s.value = credential.Secret{} }, 1001, false, false, 50 * time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			at := from()
			s := live(at)
			if tt.change != nil {
				tt.change(s)
			}
			if got := s.claim(tt.version, tt.classic); got != tt.news || s.remint != tt.news {
				t.Errorf("news %v, minted anew %v", got, s.remint)
			}
			if got := s.due.Sub(at(0)); got != tt.due {
				t.Errorf("due after %v, want %v", got, tt.due)
			}
			if next := newBudget(nil, at(0)).nextVersion(s, at(0)); next <= tt.version {
				t.Errorf("the next version %d is not above what is claimed, %d", next, tt.version)
			}
		})
	}
}

// TestVersionsAreReserved above everything that was ever handed out or promised,
// whatever the clock says.
func TestVersionsAreReserved(t *testing.T) {
	at := from()
	now := at(0).Wall().UnixMilli()
	for _, tt := range []struct {
		name   string
		change func(*slot, *budget)
		want   int64
	}{
		{"by the clock", func(*slot, *budget) {}, now},
		{"above the value's, by a clock that was set back", func(s *slot, _ *budget) { s.version = now + 5000 }, now + 5001},
		{"above a claim", func(s *slot, _ *budget) { s.highestClaim = now + 7000 }, now + 7001},
		{"above an intent, though its answer is lost", func(s *slot, b *budget) {
			b.spent[wechat.StableTokenAPI].spend(intent{Kind: s.kind, Version: now + 9000, api: wechat.StableTokenAPI, start: at(0)})
		}, now + 9001},
		{"another kind's intent is none of its", func(_ *slot, b *budget) {
			b.spent[wechat.TicketAPI].spend(intent{Kind: credential.JSAPITicket, Version: now + 9000, api: wechat.TicketAPI, start: at(0)})
		}, now},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, b := live(at), newBudget(nil, at(0))
			tt.change(s, b)
			if got := b.nextVersion(s, at(0)); got != tt.want {
				t.Errorf("version now%+d, want now%+d", got-now, tt.want-now)
			}
		})
	}
}

func TestChecksAreAMinuteApart(t *testing.T) {
	at := from()
	s := live(at)
	for _, step := range []struct {
		after time.Duration
		may   bool
	}{{0, true}, {30 * time.Second, false}, {59 * time.Second, false}, {time.Minute, true}, {90 * time.Second, false}} {
		if got := s.mayCheck(at(step.after)); got != step.may {
			t.Errorf("after %v: %v", step.after, got)
		}
	}
}

func TestEarlyEndsOfADay(t *testing.T) {
	at := from()
	s := live(at)
	for i, after := range []time.Duration{0, time.Hour, 23 * time.Hour, 24*time.Hour + time.Minute, 60 * time.Hour} {
		want := []int{1, 2, 3, 3, 1}[i]
		if got := s.addEarlyEnd(at(after).Wall()); got != want {
			t.Errorf("after %v: %d in a day, want %d", after, got, want)
		}
	}
}

func TestANewValueThatIsOver(t *testing.T) {
	s := live(from())
	for _, tt := range []struct {
		value    string
		lifetime time.Duration
		wrong    bool
	}{{"b", 0, true}, {"b", 999 * time.Millisecond, true}, {"b", time.Second, false}, {"a", 0, false}} {
		if says := s.tooShort(grant(tt.value, tt.lifetime)); (says != "") != tt.wrong || tt.wrong && !strings.Contains(says, "expires at once") {
			t.Errorf("%+v: %q", tt, says)
		}
	}
}
