// Package edges is the register of edges. It knows which edges have a stream open now,
// which versions each should hold, and which it holds. So it knows which edges are
// behind.
//
// Package streams serves the streams and writes the register. An edge joins once it has
// subscribed. The register notes each state that the edge is sent and each
// acknowledgement. The edge leaves when its stream ends. Package snapshot reads the
// register with [Register.List], for packages ops and operator.
//
// The rule to keep: a new note replaces the one before and never alters it, because a
// caller of List may still read the old one. No note has a credential's value.
package edges

import (
	"slices"
	"sync"
	"time"

	"github.com/wxbroker/wxbroker/pkg/credential"
)

// Register has the streams that are open now. The zero value has none.
type Register struct {
	mu   sync.Mutex
	open map[*Stream]struct{}
}

// Edge is one open stream as an operator sees it.
type Edge struct {
	Name, Version, Address string
	App                    string // the app that it acts for
	Since                  time.Time
	// Accounts are the appids of its last state. The edge holds their credentials, or
	// only makes calls with them.
	Accounts []string
	// Wanted are the credentials that it subscribed to and may have, as of that state.
	Wanted []Holding
	// Held are the credentials that it acknowledged.
	Held []Holding
}

// Holding is one credential at one version, 0 for none.
type Holding struct {
	AppID   string
	Kind    credential.Kind
	Version int64
}

// Stream is an edge's entry in the register. The server of the edge's stream has it.
type Stream struct {
	register *Register
	edge     Edge // register.mu guards it
}

// Join enters an edge, which stays until it leaves.
func (r *Register) Join(edge Edge) *Stream {
	s := &Stream{r, edge}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open == nil {
		r.open = make(map[*Stream]struct{})
	}
	r.open[s] = struct{}{}
	return s
}

// Leave takes the edge out of the register.
func (s *Stream) Leave() {
	s.register.mu.Lock()
	defer s.register.mu.Unlock()
	delete(s.register.open, s)
}

// Sent notes the state that the edge is sent, and the app that it acts for now. Call it
// before sending the state, because the acknowledgement may come before the call that
// sends it returns.
func (s *Stream) Sent(app string, accounts []credential.Account) {
	var appids []string
	var wanted []Holding
	for _, account := range accounts {
		appids = append(appids, account.AppID)
		for _, c := range account.Credentials {
			wanted = append(wanted, Holding{AppID: account.AppID, Kind: c.Kind, Version: c.Version})
		}
	}
	s.register.mu.Lock()
	defer s.register.mu.Unlock()
	s.edge.App, s.edge.Accounts, s.edge.Wanted = app, appids, wanted
}

// Holds notes the credentials that the edge acknowledged.
func (s *Stream) Holds(held []Holding) {
	s.register.mu.Lock()
	defer s.register.mu.Unlock()
	s.edge.Held = held
}

// List returns the edges that have a stream open, the oldest stream first.
func (r *Register) List() []Edge {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []Edge
	for s := range r.open {
		list = append(list, s.edge)
	}
	slices.SortFunc(list, func(a, b Edge) int { return a.Since.Compare(b.Since) })
	return list
}

// Behind returns the credentials that the edge should hold, and that it lacks or holds
// in an older version.
func (e Edge) Behind() []Holding {
	held := make(map[Holding]int64, len(e.Held)) // versions, by credential
	for _, h := range e.Held {
		held[h.credential()] = max(held[h.credential()], h.Version)
	}
	var behind []Holding
	for _, want := range e.Wanted {
		if version, ok := held[want.credential()]; !ok || version < want.Version {
			behind = append(behind, want)
		}
	}
	return behind
}

// credential returns the holding without its version.
func (h Holding) credential() Holding {
	h.Version = 0
	return h
}
