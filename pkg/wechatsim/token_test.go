package wechatsim_test

import (
	"regexp"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

func TestClassicTokenReplacesTheOneBefore(t *testing.T) {
	tests := []struct {
		name     string
		settings wechatsim.Settings
		before   time.Duration // between the first token and its replacement
		lives    time.Duration // how long the first token lives after that
		endsWith int
	}{
		{"five minutes of overlap", wechatsim.Settings{}, time.Hour, 5 * time.Minute, 40001},
		{"not past its own expiry", wechatsim.Settings{}, 7200*time.Second - time.Minute, time.Minute, 42001},
		{"an overlap of our own", wechatsim.Settings{TokenOverlap: 7 * time.Second}, time.Minute, 7 * time.Second, 40001},
		{"short-lived tokens", wechatsim.Settings{TokenLifetime: 20 * time.Second}, 15 * time.Second, 5 * time.Second, 42001},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := inMemory(t, tt.settings)
				first := w.granted(w.classic())
				time.Sleep(tt.before)
				second := w.granted(w.classic())
				if first == second {
					t.Fatal("the same token came twice")
				}
				time.Sleep(tt.lives - time.Second)
				if code := w.probe(first); code != 0 {
					t.Errorf("the old token is refused a second too soon: %d", code)
				}
				time.Sleep(time.Second)
				if code := w.probe(first); code != tt.endsWith {
					t.Errorf("the old token after its end: %d, want %d", code, tt.endsWith)
				}
				if code := w.probe(second); code != 0 {
					t.Errorf("the new token is refused: %d", code)
				}
			})
		})
	}
}

func TestClassicTokenWithoutOverlapDiesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{TokenOverlap: wechatsim.None})
		first := w.granted(w.classic())
		w.granted(w.classic())
		if code := w.probe(first); code != 40001 {
			t.Errorf("replaced token: %d, want 40001", code)
		}
	})
}

func TestStableTokenStaysUntilItsLastMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{})
		first := w.stable(false)
		if first.ExpiresIn != "7200" {
			t.Errorf("expires_in %s, want 7200", first.ExpiresIn)
		}
		time.Sleep(time.Hour + 500*time.Millisecond)
		if again := w.stable(false); again.Token != first.Token || again.ExpiresIn != "3599" {
			t.Errorf("after an hour and a half second: same token %t, expires_in %s, want true and 3599",
				again.Token == first.Token, again.ExpiresIn)
		}
		time.Sleep(55*time.Minute - time.Second)
		if again := w.stable(false); again.Token != first.Token {
			t.Error("replaced before its last five minutes")
		}
		time.Sleep(500 * time.Millisecond)
		second := w.stable(false)
		if second.Token == first.Token || second.ExpiresIn != "7200" {
			t.Error("not replaced in its last five minutes")
		}
		if again := w.stable(false); again.Token != second.Token {
			t.Error("replaced twice")
		}
		time.Sleep(5*time.Minute - time.Second)
		if code := w.probe(first.Token); code != 0 {
			t.Errorf("the old token does not live to its own end: %d", code)
		}
		time.Sleep(time.Second)
		if code := w.probe(first.Token); code != 42001 {
			t.Errorf("the old token after its end: %d, want 42001", code)
		}
	})
}

func TestStableWindowFollowsShortLifetimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{TokenLifetime: 20 * time.Second})
		first := w.granted(w.stable(false))
		time.Sleep(14 * time.Second)
		if w.stable(false).Token != first {
			t.Error("replaced before its last quarter")
		}
		time.Sleep(time.Second)
		if w.stable(false).Token == first {
			t.Error("not replaced in its last quarter")
		}
		w.Change(func(s *wechatsim.Settings) { s.StableWindow = wechatsim.None })
		second := w.granted(w.stable(false))
		time.Sleep(19 * time.Second)
		if w.stable(false).Token != second {
			t.Error("replaced without a window")
		}
	})
}

func TestForcedRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{})
		first := w.granted(w.stable(false))
		second := w.granted(w.stable(true))
		if first == second {
			t.Fatal("forced, and yet the same token")
		}
		if code := w.probe(first); code != 40001 {
			t.Errorf("the old token: %d, want 40001 at once", code)
		}
		time.Sleep(29 * time.Second)
		if r := w.stable(true); r.Token != second || r.ExpiresIn != "7171" {
			t.Error("forced within 30 s: not the current token")
		}
		time.Sleep(time.Second)
		if w.stable(true).Token == second {
			t.Error("forced after 30 s: still the same token")
		}
		for range 18 {
			time.Sleep(30 * time.Second)
			w.granted(w.stable(true))
		}
		time.Sleep(30 * time.Second)
		current := w.granted(w.stable(false))
		if r := w.stable(true); r.Code != 45009 {
			t.Errorf("21st refresh of the day: %d, want 45009", r.Code)
		}
		if code := w.probe(current); code != 0 {
			t.Errorf("a refresh that was refused ended the token: %d", code)
		}
		if w.stable(false).Token != current {
			t.Error("the normal mode suffers from the spent quota")
		}
	})
}

func TestForcedRefreshEndsTheReplacedTokenToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{})
		first := w.granted(w.stable(false))
		time.Sleep(116 * time.Minute)
		w.granted(w.stable(false))
		w.granted(w.stable(true))
		if code := w.probe(first); code != 40001 {
			t.Errorf("a token in its last minutes: %d, want 40001", code)
		}
	})
}

func TestTheTwoKindsOfTokensAreSeparate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{TokenOverlap: wechatsim.None})
		classic := w.granted(w.classic())
		w.granted(w.stable(true))
		if code := w.probe(classic); code != 0 {
			t.Errorf("forced stable refresh ended the classic token: %d", code)
		}
		stable := w.granted(w.stable(false))
		w.granted(w.classic())
		if code := w.probe(stable); code != 0 {
			t.Errorf("classic call ended the stable token: %d", code)
		}
	})
}

func TestValuesLookLikeWeChats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{})
		token := w.granted(w.classic())
		if !regexp.MustCompile(`^8\d_[A-Za-z0-9_-]{147}$`).MatchString(token) {
			t.Errorf("token %q", token)
		}
		ticket := w.granted(w.ticket(token, "jsapi"))
		if !regexp.MustCompile(`^[A-Za-z0-9_-]{86}$`).MatchString(ticket) {
			t.Errorf("ticket %q", ticket)
		}
	})
}

func TestExpiresInAsAString(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{ExpiresInString: true})
		_, _, body, err := w.exchange("GET", classicPath(appid, secret), "")
		if err != nil || !regexp.MustCompile(`"expires_in":"7200"}$`).MatchString(body) {
			t.Errorf("body %s, error %v", body, err)
		}
		w.Change(func(s *wechatsim.Settings) { s.ExpiresInString = false })
		if _, _, body, _ = w.exchange("GET", classicPath(appid, secret), ""); !regexp.MustCompile(`"expires_in":7200}$`).MatchString(body) {
			t.Errorf("body %s", body)
		}
	})
}
