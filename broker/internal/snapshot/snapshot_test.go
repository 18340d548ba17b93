package snapshot_test

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/broker/internal/edges"
	"github.com/wxbroker/wxbroker/broker/internal/keeper"
	"github.com/wxbroker/wxbroker/broker/internal/snapshot"
	"github.com/wxbroker/wxbroker/broker/internal/store"
	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

// TestTake: everything that its sources say is in a snapshot, for who may see
// everything and for metrics, and a later one has what changed.
func TestTake(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	now, failure := start, &wechat.Error{API: wechat.TicketAPI, Upstream: "api", Class: wxapi.Transient, Detail: "HTTP 502"}
	configuration := snapshot.Configuration{Loaded: start, Apps: 2, Failure: "line 5 is wrong"}
	source := &snapshot.Source{
		Version: "v1.2.3", Started: start, Clock: func() time.Time { return now },
		Keepers:       func() []*keeper.Keeper { return nil },
		Configuration: func() snapshot.Configuration { return configuration },
		Edges:         new(edges.Register),
		Upstreams: func() []wechat.Upstream {
			return []wechat.Upstream{{Host: "api", Failed: start, Failure: failure}, {Host: "api2", InUse: true}}
		},
		SetAside: &store.Aside{Path: "wxbroker.db.bad", Reason: errors.New("page 3: bad checksum")},
	}
	stream := source.Edges.Join(edges.Edge{Name: "edge", Version: "v1", Address: "10.0.0.1:1", Since: start})
	stream.Sent("web", []credential.Account{
		{AppID: "wx1", Credentials: []credential.Credential{{Kind: credential.AccessToken, Version: 1}, {Kind: credential.JSAPITicket, Version: 2}}},
		{AppID: "wx2"},
	})
	stream.Holds([]edges.Holding{{AppID: "wx1", Kind: credential.AccessToken, Version: 1}})
	want := snapshot.Snapshot{
		Time: start, Started: start, Version: "v1.2.3",
		Edges: []snapshot.Edge{{
			Name: "edge", Version: "v1", Address: "10.0.0.1:1", App: "web", Since: start, Accounts: []string{"wx1", "wx2"}, Behind: 1,
		}},
		Upstreams:     []snapshot.Upstream{{Host: "api", Failed: start, Failure: failure.Sentence()}, {Host: "api2", InUse: true}},
		Configuration: configuration, SetAside: &snapshot.SetAside{Path: "wxbroker.db.bad", Reason: "page 3: bad checksum"},
	}
	check := func() {
		t.Helper()
		for name, got := range map[string]snapshot.Snapshot{
			"who administers every account": source.Take(&access.App{Accounts: []string{access.EveryAccount}}), "metrics": source.Whole(),
		} {
			if !reflect.DeepEqual(got, want) {
				t.Errorf("for %s:\n%+v, want\n%+v", name, got, want)
			}
		}
	}
	check()
	stream.Leave()
	now, configuration.Failure = start.Add(time.Minute), ""
	want.Time, want.Configuration, want.Edges = now, configuration, nil
	check()
	if partial := source.Take(&access.App{Accounts: []string{"wx1"}}); partial.SetAside != nil {
		t.Errorf("who administers one account sees %+v", partial)
	}
}
