package keeper

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
)

// full returns a ticket of which everything is known.
func full(at func(time.Duration) credential.Instant) *slot {
	s := &slot{kind: credential.JSAPITicket, seen: sightings{}}
	value := strings.Repeat("t", 86)
	for i := range 40 {
		g := grant(value+string(rune('A'+i)), 2*time.Hour)
		s.expiry, s.due = s.seen.age(g, at(0), credential.Instant{})
		s.take(g, at(0), int64(1764572535000+i))
	}
	s.addEarlyEnd(at(0).Wall())
	return s
}

// again restores what was encoded, on a keeper that starts at now.
func again(t *testing.T, s *slot, stored map[string][]byte, now credential.Instant) *slot {
	t.Helper()
	encoded, err := s.encode()
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(stored, encoded)
	r, err := decode(stored, s.kind)
	if err != nil || r == nil {
		t.Fatalf("%v, %v", r, err)
	}
	restored := &slot{kind: s.kind, seen: sightings{}}
	restored.restore(r, now)
	return restored
}

// TestARecord has all that has to survive, and a later reading's moments change
// what they are of and nothing else.
func TestARecord(t *testing.T) {
	at, stored := from(), map[string][]byte{}
	s := full(at)
	check := func(what string, got *slot, now time.Duration) {
		t.Helper()
		left := func(i, now credential.Instant) time.Duration { return i.Sub(now).Round(time.Millisecond) }
		switch {
		case !got.value.Equal(s.value), got.version != s.version, !slices.Equal(got.past, s.past), len(got.earlyEnds) != 1, got.lifetime != s.lifetime:
			t.Errorf("%s: restored %+v", what, got)
		case left(got.fetched, at(now)) != left(s.fetched, at(now)), left(got.expiry, at(now)) != left(s.expiry, at(now)), left(got.due, at(now)) != left(s.due, at(now)):
			t.Errorf("%s: fetched %v, expires %v, due %v", what, got.fetched, got.expiry, got.due)
		}
		hashed := hash(s.value)
		if a, b := got.seen[hashed], s.seen[hashed]; a.Expected.Sub(b.Expected).Abs() > time.Millisecond || a.Late != b.Late || a.Lifetime != b.Lifetime || len(got.seen) != len(s.seen) {
			t.Errorf("%s: sighting %+v, want %+v", what, a, b)
		}
	}
	check("rotated", again(t, s, stored, at(time.Minute)), time.Minute)

	s.changed = nothing
	g := grant(s.value.Reveal(), 90*time.Minute)
	s.expiry, s.due = s.seen.age(g, at(10*time.Minute), credential.Instant{})
	s.take(g, at(10*time.Minute), 1764572535999)
	check("read again", again(t, s, stored, at(11*time.Minute)), 11*time.Minute)

	s.refuse(at(12 * time.Minute))
	if got := again(t, s, stored, at(13*time.Minute)); !got.refused {
		t.Error("refused: a restart revives it")
	}
}

// TestAReadingWritesLittle: the same value read again costs under 300 bytes, with
// its count, however much is known of the ticket.
func TestAReadingWritesLittle(t *testing.T) {
	at := from()
	s, b := full(at), newBudget(nil, at(0))
	whole, err := s.encode()
	if err != nil {
		t.Fatal(err)
	}
	s.changed = nothing
	for day := range 4 {
		b.spent[wechat.TicketAPI].set(periodOf(wechat.TicketAPI, at(time.Duration(day)*24*time.Hour).Wall()), 1234)
	}
	now := at(10 * time.Minute)
	b.spent[wechat.TicketAPI].spend(intent{Kind: s.kind, Version: 1764572535999, Start: now.Wall(), api: wechat.TicketAPI, start: now})
	g := grant(s.value.Reveal(), 2*time.Hour)
	s.expiry, s.due = s.seen.age(g, now, credential.Instant{})
	s.take(g, now, 1764572535999)
	before := size(t, b.spent[wechat.TicketAPI].record())
	b.close(s.kind)
	encoded, err := s.encode()
	if err != nil {
		t.Fatal(err)
	}
	after := size(t, b.spent[wechat.TicketAPI].record())
	for _, value := range encoded {
		after += len(value)
	}
	if before >= 300 || after >= 300 {
		t.Errorf("%d bytes before the call and %d after it", before, after)
	}
	if n := len(whole[string(s.kind)]); n < 3000 {
		t.Errorf("a whole record has only %d bytes: this test shows nothing", n)
	}
}

func size(t *testing.T, v any) int {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return len(raw)
}

// TestCountsAreRestored with their open intents, also as brokers before this one
// wrote them.
func TestCountsAreRestored(t *testing.T) {
	at := from()
	for _, tt := range []struct {
		name, raw string
		ok        bool
		today     int
		open      int64 // the version of the token's intent
	}{
		{"now", `{"counts":{"2026-01-01":7,"2025-12-31":3},"last":"2025-12-31T23:59:00Z","open":{"access_token":{"version":99,"start":"2025-12-31T23:59:00Z"}}}`, true, 7, 99},
		{"before", `{"periods":[{"name":"2026-01-01","count":7},{"name":"2025-12-31","count":3}],"last":"2025-12-31T23:59:00.123456789Z"}`, true, 7, 0},
		{"nothing was counted", `{}`, true, 0, 0},
		{"garbage", `{`, false, 0, 0},
		{"the counts are no numbers", `{"counts":{"2026-01-01":"7"}}`, false, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := new(spending)
			if ok := s.restore([]byte(tt.raw), at(0)); ok != tt.ok {
				t.Fatalf("can be read: %v", ok)
			}
			if got := s.count("2026-01-01"); got != tt.today || s.open[credential.AccessToken].Version != tt.open || s.unsaved() {
				t.Errorf("%d today, open %v, unsaved %v", got, s.open, s.unsaved())
			}
			if !tt.ok || s.last.IsZero() {
				return
			}
			if got := s.at.Elapsed(at(0)).Round(time.Second); got != time.Minute {
				t.Errorf("the last call was %v ago", got)
			}
			next := new(spending)
			raw, err := json.Marshal(s.record())
			if err != nil || !next.restore(raw, at(0)) || next.count("2026-01-01") != tt.today || next.open[credential.AccessToken] != s.open[credential.AccessToken] {
				t.Errorf("written again it is %+v, %v", next, err)
			}
		})
	}
}

// TestNoErrorQuotesARecord: there may be a token in it.
func TestNoErrorQuotesARecord(t *testing.T) {
	_, err := decode(map[string][]byte{"access_token": []byte(`{"value":"86_token","version":"86_token"}`)}, credential.AccessToken)
	if err == nil || strings.Contains(err.Error(), "86_token") {
		t.Errorf("error %v", err)
	}
}
