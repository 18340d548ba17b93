package simulation

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

// newSecret: somebody resets the AppSecret at WeChat, and writes it into the
// broker's file a while later.
func newSecret(r *rand.Rand) (string, func(*world)) {
	secret, d := fmt.Sprintf("%032x", r.Uint64()), lasting(r)
	return fmt.Sprintf("the AppSecret is reset, and the file follows in %v", d), func(w *world) {
		w.must(w.sim.SetSecret(appid, secret))
		w.reset = secret
		over := w.disturb(3 * time.Minute) // a changed file ends the back-off
		w.after(d, "the file has the AppSecret", func(w *world) {
			w.secret.Write(w.reset) // the newest one: somebody may have reset it again
			over()
		})
	}
}

// blockedAddress: the allow-list does not have the broker's address for a while.
func blockedAddress(r *rand.Rand) (string, func(*world)) {
	d := lasting(r)
	return fmt.Sprintf("the address is not allowed for %v", d), func(w *world) {
		w.must(w.sim.SetAllowList(appid, netip.MustParsePrefix("203.0.113.7/32")))
		over := w.disturb(12 * time.Minute)
		w.after(d, "the address is allowed", func(w *world) {
			w.must(w.sim.SetAllowList(appid))
			over()
		})
	}
}

// learned is how long the broker may take to learn that WeChat has ended a value. It learns
// that from the next reading of the ticket, at most ten minutes later. A classic token that
// was replaced lives five minutes more.
const learned = 17 * time.Minute

// killedToken: the token ends before its time, once.
func killedToken(r *rand.Rand) (string, func(*world)) {
	switch r.IntN(4) {
	case 0:
		return "the stable token is stuck dead", func(w *world) { w.ended(w.sim.KillStuckToken(appid)) }
	case 1:
		return "somebody forces the stable token", func(w *world) { w.ended(w.sim.ForceToken(appid)) }
	case 2:
		return "somebody fetches the classic token", func(w *world) { w.ended(w.sim.RotateToken(appid)) }
	default:
		return "the tokens are dead", func(w *world) {
			w.ended(w.sim.KillToken(appid, wechatsim.Classic))
			w.ended(w.sim.KillToken(appid, wechatsim.Stable))
		}
	}
}

// always40001: an API refuses every token for reasons of its own. That must not make the
// broker replace one: a good token stays until it is due.
func always40001(r *rand.Rand) (string, func(*world)) {
	d := lasting(r)
	return fmt.Sprintf("40001 for no reason, for %v", d), func(w *world) {
		calm, before, disturbed := w.calm(), w.tokenCalls(), w.disturbed+1
		f := &wechatsim.Fault{Kind: wechatsim.FaultCode, Code: 40001, Path: wechatsim.PathTicket}
		w.faults = append(w.faults, f)
		w.inject()
		over := w.disturb(14 * time.Minute)
		w.after(d, "40001 is over", func(w *world) {
			w.faults = slices.DeleteFunc(w.faults, func(other *wechatsim.Fault) bool { return other == f })
			w.inject()
			over()
			most := 1 + int(d/(w.lifetime*7/10))
			if !w.classic {
				most *= 3 // the stable token is asked for again until WeChat has the next
			}
			if n := w.tokenCalls() - before; calm && w.disturbed == disturbed && n > most {
				w.failf("a token that WeChat honours was replaced: %d token calls in %v, more than %d", n, d, most)
			}
		})
	}
}

// killedTicket: the ticket ends before its time.
func killedTicket(*rand.Rand) (string, func(*world)) {
	return "the ticket is dead", func(w *world) { w.ended(w.sim.KillTicket(appid, wechatsim.JSAPI)) }
}

// ended notes that somebody has ended a value. err says that there was none.
func (w *world) ended(err error) {
	if err != nil {
		w.history.addf("nothing to end: %v", err)
		return
	}
	w.disturb(learned)()
}

// refresher: another program fetches tokens for the appid, for hours.
func refresher(r *rand.Rand) (string, func(*world)) {
	every, times := time.Duration(5+r.IntN(56))*time.Minute, 2+r.IntN(20)
	classic := r.IntN(2) == 0
	return fmt.Sprintf("something else fetches the token every %v, %d times", every, times), func(w *world) {
		var again func(*world)
		left := times
		again = func(w *world) {
			var err error
			if classic {
				err = w.sim.RotateToken(appid)
			} else if err = w.sim.ForceToken(appid); left%3 == 0 {
				_ = w.sim.KillTicket(appid, wechatsim.JSAPI) // it may be dead
			}
			w.must(err)
			w.disturb(learned)()
			if left--; left == 0 {
				return
			}
			w.after(every, "something else fetches the token", again)
		}
		again(w)
	}
}

// cutNetwork: the connections between edges and broker break.
func cutNetwork(*rand.Rand) (string, func(*world)) {
	return "connections break", func(w *world) {
		w.disturb(25 * time.Second)()
		for _, e := range w.edges {
			e.net.Cut()
		}
		w.link()
	}
}

// deafNetwork: one edge's network fails silently.
func deafNetwork(r *rand.Rand) (string, func(*world)) {
	d, which := lasting(r), r.IntN(numEdges)
	return fmt.Sprintf("edge-%d cannot reach the broker for %v", which, d), func(w *world) {
		e := w.edges[which]
		if e.deaf {
			return
		}
		e.deaf = true
		e.net.Fail()
		over := w.disturb(25 * time.Second)
		w.after(d, e.name+" can reach the broker", func(w *world) {
			e.deaf = false
			e.net.Repair()
			w.link()
			over()
		})
	}
}

func edgeRestart(r *rand.Rand) (string, func(*world)) {
	which := r.IntN(numEdges)
	return fmt.Sprintf("edge-%d starts anew", which), func(w *world) {
		e := w.edges[which]
		if e.deaf {
			return // a new edge would have a network that works
		}
		w.disturb(25 * time.Second)()
		e.Stop()
		w.startEdge(e)
	}
}

// fullDisk: writes fail for a while. Only the operator may notice.
func fullDisk(r *rand.Rand) (string, func(*world)) {
	d := lasting(r)
	return fmt.Sprintf("the disk is full for %v", d), func(w *world) {
		w.setFull(1)
		w.disturb(4 * time.Minute)()
		w.after(d, "the disk has room", func(w *world) { w.setFull(-1) })
	}
}

func backup(*rand.Rand) (string, func(*world)) { return "the database is backed up", backUp }

// stepped returns how far a clock is stepped, seconds to hours in either direction.
func stepped(r *rand.Rand) time.Duration {
	d := time.Duration(r.Int64N(int64(3 * time.Hour)))
	if r.IntN(3) == 0 {
		d = time.Duration(r.Int64N(int64(10 * time.Second)))
	}
	if r.IntN(2) == 0 {
		return -d
	}
	return d
}

// brokerClock: the wall clock of the broker's machine is stepped.
func brokerClock(r *rand.Rand) (string, func(*world)) {
	d := stepped(r)
	return fmt.Sprintf("the broker's clock is stepped by %v", d), func(w *world) {
		w.disturb(3 * time.Minute)()
		w.clock.Step(d)
		for _, e := range w.edges {
			e.uneven = true
		}
		w.link()
	}
}

// edgeClock: the wall clock of one edge's machine is stepped, by a day at times.
func edgeClock(r *rand.Rand) (string, func(*world)) {
	d, which := stepped(r), r.IntN(numEdges)
	if r.IntN(4) == 0 {
		d *= 10
	}
	return fmt.Sprintf("the clock of edge-%d is stepped by %v", which, d), func(w *world) {
		w.disturb(25 * time.Second)()
		w.edges[which].clock.Step(d)
		w.edges[which].uneven = true
		w.link()
	}
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.failf("%v", err)
	}
}
