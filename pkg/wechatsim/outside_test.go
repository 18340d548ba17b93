package wechatsim_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

func TestSomebodyElseRotates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{ClassicQuota: 1})
		token := w.granted(w.classic())
		if err := w.RotateToken(appid); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5*time.Minute - time.Second)
		if code := w.probe(token); code != 0 {
			t.Errorf("within the overlap: %d", code)
		}
		time.Sleep(time.Second)
		if code := w.probe(token); code != 40001 {
			t.Errorf("after the overlap: %d, want 40001", code)
		}
		if n := w.Count(wechatsim.Call{API: wechatsim.PathToken}); n != 1 {
			t.Errorf("%d calls counted, want our own alone", n)
		}
	})
}

func TestSomebodyElseForces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{StableQuota: 3, ForceQuota: 1})
		if err := w.ForceToken(appid); err != nil {
			t.Fatal("before there is any token: ", err)
		}
		classic, token := w.granted(w.classic()), w.granted(w.stable(false))
		for range 2 { // the 30 s between forced refreshes do not apply to the other program
			if err := w.ForceToken(appid); err != nil {
				t.Fatal(err)
			}
		}
		if code := w.probe(token); code != 40001 {
			t.Errorf("the token before: %d, want 40001 at once", code)
		}
		if code := w.probe(classic); code != 0 {
			t.Errorf("the classic token: %d", code)
		}
		next := w.granted(w.stable(true))
		if n := len(w.Issued(appid)); n != 4 || w.probe(next) != 0 {
			t.Errorf("forced within 30 s of the other: %d values minted, want the other's token", n)
		}
		time.Sleep(30 * time.Second)
		if again := w.granted(w.stable(true)); again == next {
			t.Error("the other spent our forced refresh")
		}
		if n := w.Count(wechatsim.Call{API: wechatsim.PathStableToken}); n != 3 {
			t.Errorf("%d calls counted, want our own alone", n)
		}
	})
}

func TestKilledTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{})
		for api, fetch := range map[wechatsim.TokenAPI]func() reply{
			wechatsim.Classic: w.classic,
			wechatsim.Stable:  func() reply { return w.stable(false) },
		} {
			token := w.granted(fetch())
			if err := w.KillToken(appid, api); err != nil {
				t.Fatal(err)
			}
			if r := w.ticket(token, "jsapi"); r.Code != 40001 {
				t.Errorf("%s: a killed token: %d, want 40001", api, r.Code)
			}
			if next := w.granted(fetch()); next == token || w.probe(next) != 0 {
				t.Errorf("%s: the call after the kill got no good token", api)
			}
		}
	})
}

func TestStuckTokenEndsByForce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{})
		token := w.granted(w.stable(false))
		if err := w.KillStuckToken(appid); err != nil {
			t.Fatal(err)
		}
		if w.granted(w.stable(false)) != token || w.probe(token) != 40001 {
			t.Error("want the refused token handed out again")
		}
		if next := w.granted(w.stable(true)); next == token || w.probe(next) != 0 {
			t.Error("want a good token by force")
		}
	})
}

func TestSecretReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{})
		token := w.granted(w.classic())
		if err := w.SetSecret(appid, "new"); err != nil {
			t.Fatal(err)
		}
		if r := w.classic(); r.Code != 40125 {
			t.Errorf("the old secret: %d, want 40125", r.Code)
		}
		w.granted(w.do("GET", classicPath(appid, "new"), ""))
		if code := w.probe(token); code != 0 {
			t.Errorf("the reset ended a token: %d", code)
		}
	})
}

func TestAccountReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{})
		token := w.granted(w.classic())
		w.AddAccount(wechatsim.Account{AppID: appid, Secret: secret})
		if code := w.probe(token); code != 40001 {
			t.Errorf("a token of the account before: %d, want 40001", code)
		}
	})
}

func TestImpossibleOutsideEvents(t *testing.T) {
	sim := wechatsim.New(wechatsim.Config{Accounts: []wechatsim.Account{{AppID: appid, Secret: secret}}})
	tests := []struct {
		name string
		err  error
	}{
		{"rotate for nobody", sim.RotateToken("wx1")},
		{"force for nobody", sim.ForceToken("wx1")},
		{"kill for nobody", sim.KillToken("wx1", wechatsim.Classic)},
		{"kill a token that is not there", sim.KillToken(appid, wechatsim.Classic)},
		{"kill at no endpoint", sim.KillToken(appid, "other")},
		{"kill a ticket for nobody", sim.KillTicket("wx1", wechatsim.JSAPI)},
		{"kill a ticket that is not there", sim.KillTicket(appid, wechatsim.JSAPI)},
		{"kill a ticket of no type", sim.KillTicket(appid, "other")},
		{"secret for nobody", sim.SetSecret("wx1", "x")},
		{"allow-list for nobody", sim.SetAllowList("wx1")},
		{"quota for nobody", sim.ClearQuota("wx1")},
	}
	for _, tt := range tests {
		if tt.err == nil {
			t.Errorf("%s: no error", tt.name)
		}
	}
}

func TestParseAllow(t *testing.T) {
	tests := []struct{ entry, want string }{
		{"203.0.113.7", "203.0.113.7/32"},
		{"::ffff:203.0.113.7", "203.0.113.7/32"},
		{"203.0.113.7/24", "203.0.113.0/24"},
		{"2001:db8::1", "2001:db8::1/128"},
		{"example.com", ""},
		{"", ""},
	}
	for _, tt := range tests {
		got, err := wechatsim.ParseAllow(tt.entry)
		if (err != nil) != (tt.want == "") || err == nil && got.String() != tt.want {
			t.Errorf("%q: %v, error %v, want %q", tt.entry, got, err, tt.want)
		}
	}
}
