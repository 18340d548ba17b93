package keeper

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/clocktest"
	"github.com/wxbroker/wxbroker/pkg/credential"
)

// TestAReturningTicketIsNotYoung: A → B → A, each time with a fresh-looking
// two hours.
func TestAReturningTicketIsNotYoung(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := credential.Clock(time.Now)
		grant := func(value string) wechat.Grant {
			return wechat.Grant{Value: credential.NewSecret(value), Lifetime: 2 * time.Hour}
		}
		seen := sightings{}
		seen.age(grant("A"), clock.Now(), credential.Instant{})
		time.Sleep(time.Hour)
		if expiry, _ := seen.age(grant("B"), clock.Now(), credential.Instant{}); expiry.Sub(clock.Now()) != 2*time.Hour {
			t.Errorf("a new value expires in %v", expiry.Sub(clock.Now()))
		}
		time.Sleep(50 * time.Minute)
		expiry, due := seen.age(grant("A"), clock.Now(), credential.Instant{})
		if got := expiry.Sub(clock.Now()); got != 10*time.Minute {
			t.Errorf("A, first seen 110 minutes ago, expires in %v", got)
		}
		if got := due.Sub(clock.Now()); got != 5*time.Minute {
			t.Errorf("A is read again in %v, want half of what remains", got)
		}
		time.Sleep(20 * time.Minute)
		expiry, due = seen.age(grant("A"), clock.Now(), credential.Instant{})
		if got := due.Sub(clock.Now()); got != minReread {
			t.Errorf("A, past its time, is read again in %v", got)
		}
		if got := expiry.Sub(due); got != proofMargin {
			t.Errorf("A, proven good, expires %v after the next reading", got)
		}
		for _, want := range []time.Duration{time.Minute, 2 * time.Minute, maxLate, maxLate} {
			time.Sleep(due.Sub(clock.Now()))
			if expiry, due = seen.age(grant("A"), clock.Now(), credential.Instant{}); due.Sub(clock.Now()) != want || expiry.Sub(due) != proofMargin {
				t.Errorf("A, again good, is read again in %v, want %v, and expires %v later", due.Sub(clock.Now()), want, expiry.Sub(due))
			}
		}
		// WeChat itself says that it ends: then its word counts.
		last := wechat.Grant{Value: credential.NewSecret("A"), Lifetime: 3 * time.Minute}
		time.Sleep(due.Sub(clock.Now()))
		if expiry, due = seen.age(last, clock.Now(), credential.Instant{}); due.Sub(clock.Now()) != 90*time.Second || expiry.Sub(clock.Now()) > 3*time.Minute {
			t.Errorf("A, with three minutes left, is read again in %v and expires in %v", due.Sub(clock.Now()), expiry.Sub(clock.Now()))
		}
	})
}

// TestASteppedClockDoesNotHideATicketsEnd: the wall clock says that it is over,
// WeChat hands it out with a fresh-looking expires_in, and it does end when the
// monotonic clock says.
func TestASteppedClockDoesNotHideATicketsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var wall clocktest.Wall
		clock := credential.Clock(wall.Now)
		seen := sightings{}
		grant := func(value string) wechat.Grant {
			return wechat.Grant{Value: credential.NewSecret(value), Lifetime: 2 * time.Hour}
		}
		seen.age(grant("A"), clock.Now(), credential.Instant{})
		end := time.Now().Add(2 * time.Hour)
		time.Sleep(10 * time.Minute)
		wall.Step(5 * time.Hour)
		for time.Until(end) > time.Minute {
			expiry, due := seen.age(grant("A"), clock.Now(), credential.Instant{})
			if left := expiry.Sub(clock.Now()); left > time.Until(end) && time.Until(end) > proofMargin+minReread {
				t.Fatalf("%v before its end the ticket is believed for %v", time.Until(end), left)
			}
			time.Sleep(max(due.Sub(clock.Now()), time.Second))
		}
	})
}

func TestATicketIsNeverBelievedLongerThanWeChatSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := credential.Clock(time.Now)
		seen := sightings{}
		for remaining := 7200; remaining >= 0; remaining -= 45 {
			grant := wechat.Grant{Value: credential.NewSecret("A"), Lifetime: time.Duration(remaining) * time.Second}
			expiry, due := seen.age(grant, clock.Now(), credential.Instant{})
			if got := expiry.Sub(clock.Now()); got > grant.Lifetime {
				t.Fatalf("expires in %v though WeChat says %v", got, grant.Lifetime)
			}
			if due.Sub(clock.Now()) < minReread {
				t.Fatalf("read again in %v", due.Sub(clock.Now()))
			}
			time.Sleep(45 * time.Second)
		}
	})
}

// TestWhatIsRememberedIsBounded: an upstream with a new ticket at every
// reading does not fill the store.
func TestWhatIsRememberedIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := credential.Clock(time.Now)
		for _, lifetime := range []time.Duration{2 * time.Hour, 20 * time.Second} {
			seen := sightings{}
			for range 5000 {
				value := credential.NewSecret(clock().String())
				_, due := seen.age(wechat.Grant{Value: value, Lifetime: lifetime}, clock.Now(), credential.Instant{})
				time.Sleep(due.Sub(clock.Now()))
			}
			if len(seen) > 200 {
				t.Errorf("%d tickets of %v are remembered", len(seen), lifetime)
			}
		}
	})
}
