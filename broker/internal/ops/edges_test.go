package ops_test

import (
	"testing"
	"testing/synctest"

	"github.com/wxbroker/wxbroker/broker/internal/edges"
	"github.com/wxbroker/wxbroker/pkg/credential"
)

func TestMetricsCountEdgesThatAreBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.run()
		for i := range 3 {
			stream := w.edges.Join(edges.Edge{})
			stream.Sent("web", []credential.Account{{
				AppID: "wx1", Credentials: []credential.Credential{{Kind: credential.JSAPITicket, Value: credential.NewSecret(jsapiTicket), Version: 5}},
			}})
			if i == 0 {
				stream.Holds([]edges.Holding{{AppID: "wx1", Kind: credential.JSAPITicket, Version: 5}})
			}
		}
		w.check(map[string]string{"wxbroker_edges": "3", "wxbroker_edges_behind": "2"})
	})
}
