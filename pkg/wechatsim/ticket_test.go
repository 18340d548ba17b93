package wechatsim_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

func TestTicketsAreSticky(t *testing.T) {
	tests := []struct {
		name  string
		fresh bool
		later string // expires_in of the same ticket after an hour
	}{
		{"true rest", false, "3600"},
		{"fresh-looking", true, "7200"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := inMemory(t, wechatsim.Settings{FreshTicketExpiry: tt.fresh})
				first := w.ticket(w.granted(w.stable(false)), "jsapi")
				if first.Message != "ok" || first.ExpiresIn != "7200" {
					t.Errorf("first answer: %q, expires_in %s", first.Message, first.ExpiresIn)
				}
				time.Sleep(time.Hour)
				again := w.ticket(w.granted(w.classic()), "jsapi")
				if again.Ticket != first.Ticket || again.ExpiresIn.String() != tt.later {
					t.Errorf("after an hour: same %t, expires_in %s, want true and %s", again.Ticket == first.Ticket, again.ExpiresIn, tt.later)
				}
				time.Sleep(55 * time.Minute)
				second := w.ticket(w.granted(w.classic()), "jsapi")
				if second.Ticket == first.Ticket || second.ExpiresIn != "7200" {
					t.Error("not replaced in its last five minutes")
				}
				time.Sleep(5*time.Minute - time.Second)
				if !w.TicketAlive(first.Ticket) {
					t.Error("the old ticket does not live to its own end")
				}
				time.Sleep(time.Second)
				if w.TicketAlive(first.Ticket) || !w.TicketAlive(second.Ticket) {
					t.Error("after the old ticket's end: want the new one alive alone")
				}
			})
		})
	}
}

func TestTicketTypesAreSeparate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{})
		token := w.granted(w.classic())
		jsapi := w.granted(w.ticket(token, "jsapi"))
		card := w.granted(w.ticket(token, "wx_card"))
		if jsapi == card {
			t.Error("both types have one ticket")
		}
		if err := w.KillTicket(appid, wechatsim.WxCard); err != nil {
			t.Fatal(err)
		}
		if w.TicketAlive(card) || !w.TicketAlive(jsapi) {
			t.Error("killing one type ended the other")
		}
	})
}

func TestTicketOutlivesItsToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{TokenOverlap: wechatsim.None})
		ticket := w.granted(w.ticket(w.granted(w.classic()), "jsapi"))
		if got := w.ticket(w.granted(w.classic()), "jsapi").Ticket; got != ticket {
			t.Error("a new token brought a new ticket")
		}
	})
}
