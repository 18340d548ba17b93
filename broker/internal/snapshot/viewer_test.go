package snapshot

import (
	"reflect"
	"testing"
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/broker/internal/keeper"
)

// whole returns a snapshot with everything that there can be.
func whole() Snapshot {
	at := time.Unix(1_700_000_000, 0)
	edge := func(name string, appids ...string) Edge {
		return Edge{Name: name, Version: "v1", Address: "10.0.0.1:1", App: "app of " + name, Since: at, Accounts: appids, Behind: 3}
	}
	return Snapshot{
		Time: at.Add(time.Hour), Started: at, Version: "v1.2.3",
		Accounts:      []keeper.Status{{AppID: "wx1"}, {AppID: "wx2"}, {AppID: "wx3"}},
		Edges:         []Edge{edge("one", "wx1"), edge("two", "wx2"), edge("both", "wx1", "wx2"), edge("idle")},
		Upstreams:     []Upstream{{Host: "api", InUse: true, Failed: at, Failure: "calling for wx2 failed"}, {Host: "api2"}},
		Configuration: Configuration{Loaded: at, Apps: 4, Failure: "accounts[1] is wrong"},
		SetAside:      &SetAside{Path: "wxbroker.db.bad", Reason: "a record of wx2 is damaged"},
	}
}

// TestWhoSeesWhat: what a viewer is to see is written as what is missing from the
// whole. A field that is added has to be in the whole.
func TestWhoSeesWhat(t *testing.T) {
	everything := whole()
	for _, value := range []any{everything, everything.Edges[0], everything.Upstreams[0], everything.Configuration, *everything.SetAside} {
		fields := reflect.ValueOf(value)
		for i := range fields.NumField() {
			if fields.Field(i).IsZero() {
				t.Errorf("%T.%s is not shown to anybody here: who may see it?", value, fields.Type().Field(i).Name)
			}
		}
	}
	mask := func(s *Snapshot) {
		s.Upstreams[0].Failure, s.Configuration.Failure, s.SetAside = notShown, notShown, nil
	}
	for _, tt := range []struct {
		name     string
		accounts []string // that the viewer administers
		hide     func(*Snapshot)
	}{
		{"every account", []string{access.EveryAccount}, func(*Snapshot) {}},
		{"an account", []string{"wx1"}, func(s *Snapshot) {
			mask(s)
			s.Accounts = s.Accounts[:1]
			s.Edges = []Edge{s.Edges[0], s.Edges[2]}
			s.Edges[1].Accounts = []string{"wx1"}
		}},
		{"each account that has edges, by name", []string{"wx2", "wx1"}, func(s *Snapshot) {
			mask(s)
			s.Accounts, s.Edges = s.Accounts[:2], s.Edges[:3]
		}},
		{"an account without edges", []string{"wx3"}, func(s *Snapshot) {
			mask(s)
			s.Accounts, s.Edges = s.Accounts[2:], []Edge{}
		}},
		{"an account that there is none of", []string{"wx9"}, func(s *Snapshot) {
			mask(s)
			s.Accounts, s.Edges = []keeper.Status{}, []Edge{}
		}},
		{"nothing", nil, func(s *Snapshot) {
			mask(s)
			s.Accounts, s.Edges = []keeper.Status{}, []Edge{}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			shared, want := whole(), whole()
			tt.hide(&want)
			if got := shared.seenBy(&access.App{Accounts: tt.accounts}); !reflect.DeepEqual(got, want) {
				t.Errorf("seen is\n%+v, want\n%+v", got, want)
			}
			if !reflect.DeepEqual(shared, whole()) {
				t.Errorf("what others see has changed: %+v", shared)
			}
		})
	}
}

// TestNothingToHide: where nothing is wrong, nobody is told that something is.
func TestNothingToHide(t *testing.T) {
	well := Snapshot{Accounts: []keeper.Status{}, Edges: []Edge{}, Upstreams: []Upstream{{Host: "api", InUse: true}}}
	if got := well.seenBy(&access.App{Accounts: []string{"wx1"}}); !reflect.DeepEqual(got, well) {
		t.Errorf("seen is %+v, want %+v", got, well)
	}
}
