// Package snapshot gathers the state of the broker at one moment: its accounts, its
// edges, WeChat's hosts, the configuration, and a database that was set aside at the
// start. Package operator sends a snapshot to the command line, and package ops shows
// one as metrics. They gather nothing themselves.
//
// A snapshot is for one viewer. Only this package decides what a viewer may see
// (viewer.go). The rule to keep: no field holds a secret, and for each new field seenBy
// has to say who may see it.
package snapshot

import (
	"slices"
	"strings"
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/broker/internal/edges"
	"github.com/wxbroker/wxbroker/broker/internal/keeper"
	"github.com/wxbroker/wxbroker/broker/internal/store"
	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
)

// Source takes snapshots. All fields but SetAside are required.
type Source struct {
	Version string
	Started time.Time
	Clock   credential.Clock
	// Keepers returns the keepers that run, and Configuration the configuration in use.
	Keepers       func() []*keeper.Keeper
	Configuration func() Configuration
	Edges         *edges.Register
	// Upstreams returns WeChat's hosts.
	Upstreams func() []wechat.Upstream
	// SetAside is the database that was damaged at the start, nil for none.
	SetAside *store.Aside
}

// Snapshot is the state of the broker at Time. Nothing in it changes once it was taken.
type Snapshot struct {
	Time, Started time.Time
	Version       string
	Accounts      []keeper.Status // in order of appid
	Edges         []Edge          // those with an open stream, the oldest stream first
	Upstreams     []Upstream      // in the configured order
	Configuration Configuration
	SetAside      *SetAside // nil unless the database was damaged at the start
}

// Edge is an edge with an open stream.
type Edge struct {
	Name, Version, Address string
	App                    string // the app that it acts for
	Since                  time.Time
	Accounts               []string // the appids of its last state
	// Behind is how many credentials it should hold and does not, or holds older.
	Behind int
}

// Upstream is one of WeChat's hosts.
type Upstream struct {
	Host    string
	InUse   bool      // the next call goes there
	Failed  time.Time // when the last call there failed, zero when it did not
	Failure string    // how it failed, "" when it did not
}

// Configuration is the configuration in use.
type Configuration struct {
	Loaded time.Time
	// Apps is how many apps it has; 0 means that whoever connects may do everything.
	Apps int
	// Failure is why the file as it is now is not in use, "" when it is.
	Failure string
}

// SetAside is a database that could not be used.
type SetAside struct {
	Path   string // where the file is now
	Reason string
}

// Take returns the present state of the broker, as far as the viewer may see it.
func (s *Source) Take(viewer *access.App) Snapshot { return s.Whole().seenBy(viewer) }

// Whole returns the whole present state of the broker. It is for metrics, which show no
// texts and have a listener of their own.
func (s *Source) Whole() Snapshot {
	whole := Snapshot{Time: s.Clock(), Started: s.Started, Version: s.Version, Configuration: s.Configuration()}
	for _, k := range s.Keepers() {
		whole.Accounts = append(whole.Accounts, k.Status())
	}
	slices.SortFunc(whole.Accounts, func(a, b keeper.Status) int { return strings.Compare(a.AppID, b.AppID) })
	for _, e := range s.Edges.List() {
		whole.Edges = append(whole.Edges, Edge{
			Name: e.Name, Version: e.Version, Address: e.Address, App: e.App, Since: e.Since, Accounts: e.Accounts, Behind: len(e.Behind()),
		})
	}
	for _, u := range s.Upstreams() {
		host := Upstream{Host: u.Host, InUse: u.InUse, Failed: u.Failed}
		if u.Failure != nil {
			host.Failure = u.Failure.Sentence()
		}
		whole.Upstreams = append(whole.Upstreams, host)
	}
	if s.SetAside != nil {
		whole.SetAside = &SetAside{Path: s.SetAside.Path, Reason: s.SetAside.Reason.Error()}
	}
	return whole
}
