package e2e

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/broker/brokertest"
	"github.com/wxbroker/wxbroker/edge/edgetest"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
	"github.com/wxbroker/wxbroker/tools/internal/network"
)

// TestUnreachableBroker: the network fails silently, as networks do. The edges go on
// signing. Ten seconds after the network works again they are current, with what was
// rotated meanwhile.
func TestUnreachableBroker(t *testing.T) {
	for _, outage := range []time.Duration{20 * time.Second, 3 * time.Minute, 15 * time.Minute} {
		t.Run(outage.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, wechatsim.Settings{}, brokertest.Account{})
				w.startBroker(t)
				between := network.New(w.dial)
				for range 5 {
					w.edges = append(w.edges, edgetest.Start(t, edgetest.Config{
						Name: "edge", Dial: between.Dial, Clock: time.Now, Log: quiet,
					}))
				}
				// The broker reads the ticket at ten minutes: ten seconds after
				// the network went down.
				pass(10*time.Minute - 10*time.Second)
				w.allSign(t, "before")
				between.Fail()
				if err := w.sim.KillTicket(appid, wechatsim.JSAPI); err != nil {
					t.Fatal(err)
				}
				pass(outage)
				for i, e := range w.edges {
					if s := sign(t, e); s.Signature == "" {
						t.Errorf("edge %d does not sign without its broker: %+v", i, s)
					}
				}
				between.Repair()
				pass(10 * time.Second)
				w.allSign(t, "ten seconds after the network's return")
			})
		})
	}
}
