package edges_test

import (
	"slices"
	"testing"
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/edges"
	"github.com/wxbroker/wxbroker/pkg/credential"
)

// account is one with a ticket of that version.
func account(appid string, version int64) credential.Account {
	return credential.Account{
		AppID: appid, Credentials: []credential.Credential{{Kind: credential.JSAPITicket, Version: version}},
	}
}

func TestListIsOfOpenStreamsTheOldestFirst(t *testing.T) {
	var register edges.Register
	names := func() (names []string) {
		for _, edge := range register.List() {
			names = append(names, edge.Name)
		}
		return names
	}
	start := time.Now()
	var streams []*edges.Stream
	for i, name := range []string{"c", "a", "e", "b", "d"} {
		streams = append(streams, register.Join(edges.Edge{Name: name, Since: start.Add(time.Duration(i) * time.Second)}))
	}
	for range 20 { // a map's order can be right by chance
		if got := names(); !slices.Equal(got, []string{"c", "a", "e", "b", "d"}) {
			t.Fatalf("listed are %q", got)
		}
	}
	streams[1].Leave()
	streams[4].Leave()
	if got := names(); !slices.Equal(got, []string{"c", "e", "b"}) {
		t.Errorf("after two left there are %q", got)
	}
}

func TestWhatIsNotedLaterDoesNotChangeAList(t *testing.T) {
	var register edges.Register
	stream := register.Join(edges.Edge{Name: "edge", App: "web"})
	ticket := func(version int64) []edges.Holding {
		return []edges.Holding{{AppID: "wx1", Kind: credential.JSAPITicket, Version: version}}
	}
	var lists [][]edges.Edge
	for version := range int64(3) {
		stream.Sent("web", []credential.Account{account("wx1", version)})
		stream.Holds(ticket(version))
		lists = append(lists, register.List())
	}
	stream.Leave()
	for version, list := range lists {
		want := ticket(int64(version))
		if len(list) != 1 || !slices.Equal(list[0].Wanted, want) || !slices.Equal(list[0].Held, want) {
			t.Errorf("list %d is %+v", version, list)
		}
	}
}

func TestSentMovesAnEdgeToAnotherApp(t *testing.T) {
	var register edges.Register
	register.Join(edges.Edge{App: "web"}).Sent("shop", nil)
	if got := register.List()[0].App; got != "shop" {
		t.Errorf("it acts for %s", got)
	}
}

func TestBehindComparesAccountAndKind(t *testing.T) {
	want := edges.Holding{AppID: "wx1", Kind: credential.JSAPITicket, Version: 2}
	for _, tt := range []struct {
		name   string
		held   []edges.Holding
		behind bool
	}{
		{"the same", []edges.Holding{want}, false},
		{"newer", []edges.Holding{{AppID: "wx1", Kind: credential.JSAPITicket, Version: 3}}, false},
		{"older", []edges.Holding{{AppID: "wx1", Kind: credential.JSAPITicket, Version: 1}}, true},
		{"another account", []edges.Holding{{AppID: "wx2", Kind: credential.JSAPITicket, Version: 2}}, true},
		{"another kind", []edges.Holding{{AppID: "wx1", Kind: credential.AccessToken, Version: 2}}, true},
		{"nothing", nil, true},
		{"the same, and older", []edges.Holding{want, {AppID: "wx1", Kind: credential.JSAPITicket, Version: 1}}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			edge := edges.Edge{Wanted: []edges.Holding{want}, Held: tt.held}
			if got := len(edge.Behind()) > 0; got != tt.behind {
				t.Errorf("behind: %v", edge.Behind())
			}
		})
	}
}
