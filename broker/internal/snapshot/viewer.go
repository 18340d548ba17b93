package snapshot

import (
	"slices"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/broker/internal/keeper"
)

// notShown stands for a text that may be about what is not the viewer's.
const notShown = "only who administers every account is told why"

// seenBy returns what a viewer may see of s, which itself stays as it is. Who
// administers every account sees all of it. Anybody else sees the accounts that
// they administer, and the edges that have to do with one of these. A text that
// may be about other accounts or apps is not shown, only that there is one.
func (s Snapshot) seenBy(viewer *access.App) Snapshot {
	if viewer.ServesEvery() {
		return s
	}
	foreign := func(appid string) bool { return !viewer.Serves(appid) }
	s.Accounts = slices.DeleteFunc(slices.Clone(s.Accounts), func(a keeper.Status) bool { return foreign(a.AppID) })
	s.Edges = slices.Clone(s.Edges)
	for i, e := range s.Edges {
		s.Edges[i].Accounts = slices.DeleteFunc(slices.Clone(e.Accounts), foreign)
	}
	s.Edges = slices.DeleteFunc(s.Edges, func(e Edge) bool { return len(e.Accounts) == 0 })
	s.Upstreams = slices.Clone(s.Upstreams)
	for i, u := range s.Upstreams {
		s.Upstreams[i].Failure = masked(u.Failure)
	}
	s.Configuration.Failure = masked(s.Configuration.Failure)
	s.SetAside = nil
	return s
}

// masked returns what is shown in the place of a text, "" for none.
func masked(text string) string {
	if text == "" {
		return ""
	}
	return notShown
}
