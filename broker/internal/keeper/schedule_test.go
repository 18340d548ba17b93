package keeper

import (
	"testing"
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
)

// moment returns the moment so long after the first of 2026, by both clocks.
func moment(after time.Duration) credential.Instant {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	return credential.Clock(func() time.Time { return start }).Now().Add(after)
}

// from returns moments so long after one and the same.
func from() func(time.Duration) credential.Instant { return moment(0).Add }

func grant(value string, lifetime time.Duration) wechat.Grant {
	return wechat.Grant{Value: credential.NewSecret(value), Lifetime: lifetime}
}

func TestTokenWait(t *testing.T) {
	for _, tt := range []struct {
		name         string
		lifetime     time.Duration
		same, stable bool
		first, last  time.Duration // with the least chance and nearly the most
	}{
		{"classic", 2 * time.Hour, false, false, 110 * time.Minute, 109 * time.Minute},
		{"classic, short", 20 * time.Second, false, false, 18 * time.Second, 17800 * time.Millisecond},
		{"classic, shorter than a call apart", time.Second, false, false, time.Second, time.Second},
		{"stable, a new one", 2 * time.Hour, false, true, 2*time.Hour - 290*time.Second, 2*time.Hour - 261*time.Second},
		{"stable, short", 20 * time.Second, false, true, 10 * time.Second, 11 * time.Second},
		{"stable, the same", 280 * time.Second, true, true, 140 * time.Second, 140 * time.Second},
		{"stable, the same in its last second", 0, true, true, time.Second, time.Second},
		{"classic, the same, which WeChat never does", time.Hour, true, false, 30 * time.Minute, 30 * time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for c, want := range map[chance]time.Duration{0: tt.first, 0.9999: tt.last} {
				got := tokenWait(tt.lifetime, tt.same, tt.stable, c)
				if (got - want).Abs() > 10*time.Millisecond {
					t.Errorf("chance %v: due after %v, want %v", c, got, want)
				}
			}
		})
	}
}

func TestReread(t *testing.T) {
	for _, tt := range []struct {
		name                      string
		remaining, lifetime, want time.Duration
	}{
		{"a new one", 2 * time.Hour, 2 * time.Hour, 10 * time.Minute},
		{"half of what remains", 12 * time.Minute, 2 * time.Hour, 6 * time.Minute},
		{"the last reading before its end", time.Minute, 2 * time.Hour, 30 * time.Second},
		{"just after its end", 40 * time.Second, 2 * time.Hour, 41 * time.Second},
		{"its end is very near", time.Second, 2 * time.Hour, 30 * time.Second},
		{"past its end", -time.Hour, 2 * time.Hour, 30 * time.Second},
		{"a short one", 20 * time.Second, 20 * time.Second, 10 * time.Second},
		{"a short one near its end", 1500 * time.Millisecond, 20 * time.Second, 2500 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := reread(tt.remaining, tt.lifetime); got != tt.want {
				t.Errorf("read again after %v, want %v", got, tt.want)
			}
		})
	}
}

// TestTheAgeOfATicket: readings of it, and what follows from each.
func TestTheAgeOfATicket(t *testing.T) {
	type reading struct {
		at, says    time.Duration // when, and the expires_in
		value       string
		expiry, due time.Duration // as of the first reading
	}
	const life = 2 * time.Hour
	for _, tt := range []struct {
		name string
		// lost is how long before the first reading a call's answer was lost, 0
		// for none.
		lost     time.Duration
		readings []reading
	}{
		{"an expires_in that looks fresh each time makes it no younger", 0, []reading{
			{0, life, "a", life, 10 * time.Minute},
			{time.Hour, life, "a", life, 70 * time.Minute},
		}},
		{"an expires_in that counts down is believed", 0, []reading{
			{0, life, "a", life, 10 * time.Minute},
			{time.Hour, time.Hour, "a", life, 70 * time.Minute},
		}},
		{"a shorter one ends it earlier", 0, []reading{
			{0, life, "a", life, 10 * time.Minute},
			{time.Hour, 10 * time.Minute, "a", 70 * time.Minute, 65 * time.Minute},
		}},
		{"one that should have ended is good until the next reading and a minute", 0, []reading{
			{0, life, "a", life, 10 * time.Minute},
			{life + time.Minute, life, "a", life + 150*time.Second, life + 90*time.Second},
			{life + 90*time.Second, life, "a", life + 210*time.Second, life + 150*time.Second}, // 30 s, then 60 s
		}},
		{"but never longer than WeChat says", 0, []reading{
			{0, life, "a", life, 10 * time.Minute},
			{life + time.Minute, 20 * time.Second, "a", life + 80*time.Second, life + 90*time.Second},
		}},
		{"a value that returns is as old as it was", 0, []reading{
			{0, life, "a", life, 10 * time.Minute},
			{10 * time.Minute, life, "b", life + 10*time.Minute, 20 * time.Minute},
			{20 * time.Minute, life, "a", life, 30 * time.Minute},
		}},
		{"it may be as old as a call whose answer was lost, so near that end it is read often", 14 * time.Minute, []reading{
			{0, life, "a", life, 10 * time.Minute},
			{100 * time.Minute, life, "a", life, 104 * time.Minute},
			{104 * time.Minute, life, "a", life, 108 * time.Minute},
			{118 * time.Minute, life, "a", life, 119 * time.Minute}, // as at the end of any
		}},
		{"before that, as often as any", 14 * time.Minute, []reading{
			{0, life, "a", life, 10 * time.Minute},
			{95 * time.Minute, life, "a", life, 101 * time.Minute},
		}},
		{"it may end at once", 3 * time.Hour, []reading{
			{0, life, "a", life, 4 * time.Minute},
		}},
		{"an expires_in that counts down says how old it is", 14 * time.Minute, []reading{
			{0, time.Hour, "a", time.Hour, 10 * time.Minute},
			{40 * time.Minute, 20 * time.Minute, "a", time.Hour, 50 * time.Minute},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			at, seen := from(), sightings{}
			var unanswered credential.Instant
			if tt.lost > 0 {
				unanswered = at(-tt.lost)
			}
			for i, r := range tt.readings {
				expiry, due := seen.age(grant(r.value, r.says), at(r.at), unanswered)
				if gotExpiry, gotDue := expiry.Sub(at(0)), due.Sub(at(0)); gotExpiry != r.expiry || gotDue != r.due {
					t.Errorf("reading %d: expires after %v, want %v; due after %v, want %v", i+1, gotExpiry, r.expiry, gotDue, r.due)
				}
			}
		})
	}
}

func TestEarly(t *testing.T) {
	const life = 2 * time.Hour
	for _, tt := range []struct {
		name        string
		first, next time.Duration // expires_in of the value, and of the one after it
		lost        time.Duration // how long before it was seen an answer was lost, 0 for none
		after       time.Duration
		want        bool
	}{
		{"in the middle", life, life, 0, time.Hour, true},
		{"a little before its last minutes", life, life, 0, life - 11*time.Minute, true},
		{"in its last minutes, in which WeChat has the next one", life, life, 0, life - 9*time.Minute, false},
		{"after its end", life, life, 0, life + 30*time.Minute, false},
		{"a short one, in the middle", 20 * time.Minute, 20 * time.Minute, 0, 10 * time.Minute, true},
		{"a short one, in its last minutes", 20 * time.Minute, 20 * time.Minute, 0, 16 * time.Minute, false},
		{"first seen shortly before its end, which comes", 8 * time.Minute, life, 0, 4 * time.Minute, false},
		{"first seen late, and gone long before its end", 40 * time.Minute, life, 0, 20 * time.Minute, true},
		{"maybe made half an hour before it was seen, and gone that much earlier", life, life, 30 * time.Minute, 81 * time.Minute, false},
		{"maybe made half an hour before it was seen, and gone before that", life, life, 30 * time.Minute, 79 * time.Minute, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			at, seen := from(), sightings{}
			var unanswered credential.Instant
			if tt.lost > 0 {
				unanswered = at(-tt.lost)
			}
			seen.age(grant("a", tt.first), at(0), unanswered)
			if got := seen.early(credential.NewSecret("a"), tt.next, at(tt.after)); got != tt.want {
				t.Errorf("early: %v", got)
			}
		})
	}
	if (sightings{}).early(credential.NewSecret("never seen"), life, from()(0)) {
		t.Error("what was never seen ended before its time")
	}
}
