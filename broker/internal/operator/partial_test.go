package operator_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/broker/internal/edges"
	"github.com/wxbroker/wxbroker/broker/internal/snapshot"
	"github.com/wxbroker/wxbroker/broker/internal/store"
	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// join enters an edge of that name that is sent these kinds of these accounts, of
// all accounts if none is named.
func (w *world) join(name string, kinds []credential.Kind, appids ...string) {
	var sent []credential.Account
	for _, account := range w.states.Current(appids).Accounts {
		sent = append(sent, account.Only(kinds))
	}
	w.Edges.Join(edges.Edge{Name: name, Version: "v1 of " + name, Address: "address of " + name, Since: time.Now()}).Sent("app of "+name, sent)
}

// sight is what who administers some accounts sees of a field.
type sight string

const (
	seen   sight = "what everybody sees"
	own    sight = "of a list, what is about these accounts"
	masked sight = "that there is something, not what"
	hidden sight = "nothing"
)

// sights are those of every field of a status. A message that is not named here
// is looked into.
var sights = map[string]sight{
	"server_time": seen, "version": seen, "start_time": seen,
	"accounts":       own,
	"upstreams.host": seen, "upstreams.in_use": seen, "upstreams.failed_time": seen,
	"upstreams.failure":       masked,
	"edges":                   own,
	"set_aside":               hidden,
	"configuration.load_time": seen,
	"configuration.failure":   masked,
}

// TestPartialViewers: every field of a status, to who administers one account of
// two, beside who administers both. A field that is added has to say who may see
// it.
func TestPartialViewers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const theirs = "of others" // in whatever they may not see
		w := newWorld(t, nil, appid, other)
		for name, appids := range map[string][]string{"ours": {appid}, "shared": {appid, other}, "every": nil, "edge " + theirs: {other}} {
			w.join(name, []credential.Kind{credential.JSAPITicket}, appids...)
			w.join(name+", calls only", nil, appids...)
		}
		w.SetAside = &store.Aside{Path: "database " + theirs, Reason: errors.New("reason " + theirs)}
		w.Upstreams = func() []wechat.Upstream {
			return []wechat.Upstream{
				{Host: "api.example.com", Failed: time.Now(), Failure: &wechat.Error{API: wechat.TicketAPI, Upstream: "api.example.com", Class: wxapi.Transient, Detail: "call " + theirs}},
				{Host: "api2.example.com", InUse: true},
			}
		}
		w.Configuration = func() snapshot.Configuration {
			return snapshot.Configuration{Loaded: time.Now(), Failure: "accounts[0] " + theirs}
		}
		whole := w.statusAs(t, access.EveryAccount)
		if n := len(whole.GetEdges()); n != 8 || len(whole.GetAccounts()) != 2 {
			t.Fatalf("who administers every account sees %d edges, and %v", n, whole)
		}
		for _, tt := range []struct {
			name     string
			appid    string
			accounts string
			edges    string
		}{
			{"one", appid, appid, "every,every, calls only,ours,ours, calls only,shared,shared, calls only"},
			{"none that there is", "wx9", "", ""},
		} {
			partial := w.statusAs(t, tt.appid)
			compared := map[string]bool{}
			compare(t, "", whole.ProtoReflect(), partial.ProtoReflect(), compared)
			for field := range sights {
				if !compared[field] {
					t.Errorf("%s: this broker has nothing to show as %s", tt.name, field)
				}
			}
			var accounts, names []string
			for _, a := range partial.GetAccounts() {
				accounts = append(accounts, a.GetAppid())
			}
			for _, e := range partial.GetEdges() {
				names = append(names, e.GetName())
			}
			slices.Sort(names)
			if got := strings.Join(accounts, " "); got != tt.accounts {
				t.Errorf("%s: the accounts are %q", tt.name, got)
			}
			if got := strings.Join(names, ","); got != tt.edges {
				t.Errorf("%s: the edges are %q", tt.name, got)
			}
			if text := protojson.Format(partial); strings.Contains(text, theirs) || strings.Contains(text, other) {
				t.Errorf("%s: it shows what is of others: %s", tt.name, text)
			}
		}
	})
}

// statusAs returns what who administers an account sees.
func (w *world) statusAs(t *testing.T, appid string) *wxbrokerv1.GetStatusResponse {
	t.Helper()
	got, err := w.GetStatus(as(t, appid), new(wxbrokerv1.GetStatusRequest))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// compare holds every field of what a partial viewer sees against what who
// administers every account does, and notes in compared those that have a value.
func compare(t *testing.T, path string, whole, partial protoreflect.Message, compared map[string]bool) {
	t.Helper()
	fields := whole.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		name := path + string(field.Name())
		all, some := whole.Get(field), partial.Get(field)
		sight, known := sights[name]
		compared[name] = compared[name] || whole.Has(field)
		switch {
		case !known && field.Message() == nil:
			t.Errorf("%s is not in the table: who may see it?", name)
		case !known && field.IsList():
			if all.List().Len() != some.List().Len() {
				t.Fatalf("%s has %d elements and not %d", name, some.List().Len(), all.List().Len())
			}
			for j := range all.List().Len() {
				compare(t, name+".", all.List().Get(j).Message(), some.List().Get(j).Message(), compared)
			}
		case !known:
			compare(t, name+".", all.Message(), some.Message(), compared)
		case sight == seen && !all.Equal(some):
			t.Errorf("%s is %v and not %v", name, some, all)
		case sight == hidden && partial.Has(field), sight == masked && whole.Has(field) && all.Equal(some):
			t.Errorf("%s is shown: %v", name, some)
		case sight == masked && whole.Has(field) != partial.Has(field):
			t.Errorf("%s is %v, which does not say that there is something", name, some)
		case sight == own:
			for j := range some.List().Len() {
				if !contains(all.List(), some.List().Get(j).Message()) {
					t.Errorf("%s has %v, which who administers every account does not see", name, some.List().Get(j))
				}
			}
		}
	}
}

func contains(list protoreflect.List, m protoreflect.Message) bool {
	for i := range list.Len() {
		if proto.Equal(list.Get(i).Message().Interface(), m.Interface()) {
			return true
		}
	}
	return false
}
