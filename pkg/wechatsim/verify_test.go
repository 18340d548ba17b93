package wechatsim_test

import (
	"crypto/sha1" //nolint:gosec // what WeChat signs with
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

func sign(ticket, noncestr, timestamp, url string) string {
	text := fmt.Sprintf("jsapi_ticket=%s&noncestr=%s&timestamp=%s&url=%s", ticket, noncestr, timestamp, url)
	return fmt.Sprintf("%x", sha1.Sum([]byte(text))) //nolint:gosec // what WeChat signs with
}

func TestVerifyAcceptsPublishedSignatures(t *testing.T) {
	var published struct {
		JSAPI []struct{ ID, Ticket, NonceStr, Timestamp, URL, Signature string }
	}
	raw, err := os.ReadFile("testdata/signatures.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &published); err != nil {
		t.Fatal(err)
	}
	if len(published.JSAPI) == 0 {
		t.Fatal("no signatures in testdata")
	}
	for _, p := range published.JSAPI {
		t.Run(p.ID, func(t *testing.T) {
			sim := wechatsim.New(wechatsim.Config{Accounts: []wechatsim.Account{{AppID: appid, Secret: secret}}})
			sim.PlantTicket(appid, p.Ticket)
			page, _, fragment := strings.Cut(p.URL, "#")
			if v := sim.Verify(appid, p.NonceStr, p.Timestamp, page, p.Signature); !v.Accepted {
				t.Errorf("refused: %s", v.Reason)
			}
			if v := sim.Verify(appid, p.NonceStr, p.Timestamp, p.URL, p.Signature); v.Accepted == fragment {
				t.Errorf("as published: %+v", v)
			}
		})
	}
}

func TestVerifyRefusesWhatDiffers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{})
		w.AddAccount(wechatsim.Account{AppID: "wxother", Secret: secret})
		const page = "https://shop.example.com/?a=1&b=2"
		if v := w.Verify(appid, "n", "1", page, sign("", "n", "1", page)); v.Accepted || !strings.Contains(v.Reason, "no live ticket") {
			t.Errorf("without any ticket: %+v", v)
		}
		token := w.granted(w.classic())
		ticket := w.granted(w.ticket(token, "jsapi"))
		card := w.granted(w.ticket(token, "wx_card"))
		good := sign(ticket, "n", "1", page)
		tests := []struct {
			name                                 string
			appid, nonce, stamp, page, signature string
			accepted                             bool
			reason                               string
		}{
			{"all right", appid, "n", "1", page, good, true, "ticket #1 made it and lives 7200s more"},
			{"another account", "wxother", "n", "1", page, good, false, "no live ticket"},
			{"no such account", "wx1", "n", "1", page, good, false, "no account"},
			{"another noncestr", appid, "m", "1", page, good, false, "differ"},
			{"another timestamp", appid, "n", "2", page, good, false, "differ"},
			{"another page", appid, "n", "1", page + "/", good, false, "differ"},
			{"escaped page", appid, "n", "1", strings.ReplaceAll(page, "&", "%26"), good, false, "differ"},
			{"upper case", appid, "n", "1", page, strings.ToUpper(good), false, "differ"},
			{"no signature", appid, "n", "1", page, "", false, "differ"},
			{"card ticket", appid, "n", "1", page, sign(card, "n", "1", page), false, "a wx_card ticket does"},
			{"fragment", appid, "n", "1", page + "#x", sign(ticket, "n", "1", page+"#x"), false, "fragment"},
		}
		for _, tt := range tests {
			v := w.Verify(tt.appid, tt.nonce, tt.stamp, tt.page, tt.signature)
			if v.Accepted != tt.accepted || !strings.Contains(v.Reason, tt.reason) {
				t.Errorf("%s: %+v, want %t, %q", tt.name, v, tt.accepted, tt.reason)
			}
			if strings.Contains(v.Reason, ticket) || strings.Contains(v.Reason, card) {
				t.Errorf("%s: the reason prints the ticket", tt.name)
			}
		}
	})
}

func TestVerifyKnowsWhichTicketsLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{})
		judge := func(ticket string) wechatsim.Verdict {
			return w.Verify(appid, "n", "1", "https://a/", sign(ticket, "n", "1", "https://a/"))
		}
		first := w.granted(w.ticket(w.granted(w.classic()), "jsapi"))
		time.Sleep(115 * time.Minute)
		second := w.granted(w.ticket(w.granted(w.classic()), "jsapi"))
		if a, b := judge(first), judge(second); !a.Accepted || !b.Accepted || a.Ticket != 1 || b.Ticket != 2 {
			t.Errorf("both live: %+v, %+v", a, b)
		}
		time.Sleep(5*time.Minute + 12*time.Second)
		want := "no live ticket makes this signature; ticket #1 that expired 12s ago does"
		if v := judge(first); v.Accepted || v.Reason != want {
			t.Errorf("expired: %+v, want %q", v, want)
		}
		if err := w.KillTicket(appid, wechatsim.JSAPI); err != nil {
			t.Fatal(err)
		}
		time.Sleep(4 * time.Second)
		want = "no live ticket makes this signature; ticket #2 that was killed 4s ago does"
		if v := judge(second); v.Accepted || v.Reason != want {
			t.Errorf("killed: %+v, want %q", v, want)
		}
		third := w.granted(w.ticket(w.granted(w.classic()), "jsapi"))
		if v := judge(third); !v.Accepted || third == second {
			t.Errorf("after the kill: %+v", v)
		}
	})
}

func TestVerifyTellsExpiredFromKilled(t *testing.T) {
	const page = "https://a/"
	tests := []struct {
		name   string
		kill   time.Duration // the ticket's age when it is killed; zero: never
		age    time.Duration // when it is judged
		wanted string
	}{
		{"alive to the last second", 0, 7199 * time.Second, ""},
		{"at its expiry", 0, 7200 * time.Second, "expired"},
		{"long after", 0, 24 * time.Hour, "expired"},
		{"killed just now", time.Hour, time.Hour, "killed"},
		{"killed, a second before its expiry", time.Hour, 7199 * time.Second, "killed"},
		{"killed, at its expiry", time.Hour, 7200 * time.Second, "expired"},
		{"killed, long after", time.Hour, 24 * time.Hour, "expired"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := inMemory(t, wechatsim.Settings{})
				ticket := w.granted(w.ticket(w.granted(w.classic()), "jsapi"))
				time.Sleep(tt.kill)
				if tt.kill != 0 {
					if err := w.KillTicket(appid, wechatsim.JSAPI); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(tt.age - tt.kill)
				v := w.Verify(appid, "n", "1", page, sign(ticket, "n", "1", page))
				if v.Ended != tt.wanted || v.Accepted != (tt.wanted == "") || v.Ticket != 1 {
					t.Errorf("%+v, want ended %q", v, tt.wanted)
				}
				if v := w.Verify(appid, "m", "1", page, sign(ticket, "n", "1", page)); v.Ended != "" {
					t.Errorf("no ticket makes it: %+v", v)
				}
			})
		})
	}
}

func TestTheClockIsTheOneGiven(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	sim := wechatsim.New(wechatsim.Config{
		Accounts: []wechatsim.Account{{AppID: appid, Secret: secret}},
		Now:      func() time.Time { return now },
	})
	sim.PlantTicket(appid, "t")
	now = now.Add(7200*time.Second - 1)
	if !sim.TicketAlive("t") {
		t.Error("dead too soon")
	}
	now = now.Add(1)
	if sim.TicketAlive("t") {
		t.Error("alive at its expiry")
	}
}
