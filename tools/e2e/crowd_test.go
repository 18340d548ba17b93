package e2e

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/broker/brokertest"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

// TestTwoHundredEdges start at once: all become ready, and WeChat sees one
// token call and one ticket call. A rotation reaches all within two seconds.
func TestTwoHundredEdges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, wechatsim.Settings{}, brokertest.Account{})
		w.startBroker(t)
		w.startEdges(t, 200)
		pass(time.Second)
		for i, e := range w.edges {
			if err := e.Ready(); err != nil {
				t.Fatalf("edge %d: %v", i, err)
			}
		}
		if tokens, tickets := w.calls(wechatsim.PathStableToken), w.calls(wechatsim.PathTicket); tokens != 1 || tickets != 1 {
			t.Errorf("%d token and %d ticket calls, want one each", tokens, tickets)
		}
		w.allSign(t, "at the start")

		// WeChat's ticket dies. The broker learns of it at its next reading, at
		// ten minutes sharp; two seconds later no edge may sign with it.
		if err := w.sim.KillTicket(appid, wechatsim.JSAPI); err != nil {
			t.Fatal(err)
		}
		readings := w.calls(wechatsim.PathTicket)
		for w.calls(wechatsim.PathTicket) == readings {
			pass(100 * time.Millisecond)
		}
		pass(2 * time.Second)
		w.allSign(t, "two seconds after the rotation")
	})
}

// TestBrokerOutage: without a broker, edges sign until the ticket's own expiry. Then they
// say plainly that they cannot. They are current again soon after the broker's return.
func TestBrokerOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, wechatsim.Settings{}, brokertest.Account{})
		w.startBroker(t)
		w.startEdges(t, 5)
		pass(time.Second)
		calls := w.calls("")

		w.stopBroker()
		for range 10 {
			pass(time.Minute)
			w.allSign(t, "without a broker")
		}
		w.startBroker(t)
		pass(10 * time.Second)
		w.allSign(t, "after the broker's return")
		if n := w.calls("") - calls; n > 1 { // a reading of the ticket was due
			t.Errorf("a restart made %d calls", n)
		}

		w.stopBroker()
		pass(3 * time.Hour)
		for i, e := range w.edges {
			if s := sign(t, e); s.Status != http.StatusServiceUnavailable || s.ErrCode != 503 || s.ErrMsg == "" || s.Signature != "" {
				t.Errorf("edge %d, past the hard expiry, answered %+v", i, s)
			}
			if e.Ready() == nil {
				t.Errorf("edge %d is ready without a live ticket", i)
			}
		}
		w.startBroker(t)
		pass(10 * time.Second)
		w.allSign(t, "after a long outage")
	})
}

// TestLostDatabase: a broker starts without its database while WeChat does not answer. No
// edge loses its ticket. What the broker reads in the end is newer than what the edges
// hold.
func TestLostDatabase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, wechatsim.Settings{}, brokertest.Account{})
		w.startBroker(t)
		w.startEdges(t, 5)
		pass(time.Second)
		w.stopBroker()
		w.config.Data += ".other"
		if err := w.sim.Inject(wechatsim.Fault{Kind: wechatsim.FaultCode, Code: -1}); err != nil {
			t.Fatal(err)
		}
		w.startBroker(t)
		for range 20 {
			pass(30 * time.Second)
			w.allSign(t, "with a broker that knows nothing")
		}
		w.sim.ClearFaults()
		pass(time.Minute + 10*time.Second)
		w.allSign(t, "with a broker that knows again")
	})
}
