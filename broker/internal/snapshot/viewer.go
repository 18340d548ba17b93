package snapshot

import (
	"slices"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/broker/internal/keeper"
)

// notShown takes the place of a text that may be about an account or an app that the
// viewer may not see.
const notShown = "only an admin of every account is told why"

// seenBy returns the part of s that a viewer may see. It does not change s. A viewer
// that administers every account sees all of it. Any other viewer sees the accounts
// that it administers, and the edges that have one of these in their state. Of a text
// that may be about other accounts or apps, it sees only that there is one.
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
		s.Upstreams[i].Failure = hideText(u.Failure)
	}
	s.Configuration.Failure = hideText(s.Configuration.Failure)
	s.SetAside = nil
	return s
}

// hideText returns the replacement for a text, "" for none.
func hideText(text string) string {
	if text == "" {
		return ""
	}
	return notShown
}
