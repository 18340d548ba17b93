package simulation

import (
	"math/rand/v2"
	"time"

	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

// reread is the longest until a ticket is read again.
const reread = 10 * time.Minute

// freshLooking: the database is lost. For a moment WeChat says of a ticket that it has
// handed out long ago that it lives as long as a new one. The broker cannot know better
// until WeChat says how long the ticket really lives. Then it has to believe that.
func freshLooking(*rand.Rand) (string, func(*world)) {
	return "the database is lost, and the tickets look fresh for a minute", func(w *world) {
		if !w.calm() || w.soonestEnd() < 2*reread || w.untilNext() < 2*reread {
			return // the tickets could end before edges are told how long they live
		}
		w.sim.Change(func(s *wechatsim.Settings) { s.FreshTicketExpiry = true })
		w.kill(&crash{at: now, times: 1, damage: lose, down: func() time.Duration { return time.Second }})
		disturbed := w.disturbed
		w.after(time.Minute, "the tickets say how long they live", func(w *world) {
			w.sim.Change(func(s *wechatsim.Settings) { s.FreshTicketExpiry = false })
		})
		w.after(time.Minute+reread+settled+w.latency, "", func(w *world) {
			if w.disturbed == disturbed {
				w.checkExpiry()
			}
		})
	}
}

// untilNext returns how long nothing else is scheduled.
func (w *world) untilNext() time.Duration {
	if len(w.events) == 0 {
		return 24 * time.Hour
	}
	return w.events[0].at - w.elapsed()
}

// tickets has the simulator's name for each kind.
var tickets = map[credential.Kind]string{credential.JSAPITicket: "jsapi ticket", credential.WXCardTicket: "wx_card ticket"}

// ends returns how long the present tickets live at WeChat, by the simulator's names.
func (w *world) ends() map[string]time.Duration {
	state, err := w.sim.State(appid)
	w.must(err)
	ends := map[string]time.Duration{}
	for _, c := range state.Credentials {
		if c.Current && c.Alive {
			ends[c.Series] = time.Duration(c.ExpiresIn) * time.Second
		}
	}
	return ends
}

// soonestEnd returns when the first of the tickets ends, zero if there is none.
func (w *world) soonestEnd() time.Duration {
	ends := w.ends()
	soonest := ends[tickets[credential.JSAPITicket]]
	if end, ok := ends[tickets[credential.WXCardTicket]]; ok {
		soonest = min(soonest, end)
	}
	return soonest
}

// checkExpiry: the broker gives no ticket a longer life than WeChat says.
func (w *world) checkExpiry() {
	const rounding = 2 * time.Second
	ends := w.ends()
	for _, k := range w.broker.Status(appid).Kinds {
		left := k.Expiry.Sub(w.clock.Now())
		if end, ok := ends[tickets[k.Kind]]; ok && left > end+rounding {
			w.failf("promise 1: the broker hands out the %s for %v, and WeChat says %v", k.Kind, left, end)
		}
	}
}
