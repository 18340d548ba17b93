package rpc

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/wxbroker/wxbroker/pkg/credential"
)

// Edges are the streams that are open now. The zero value has none.
type Edges struct {
	mu   sync.Mutex
	open map[*Edge]struct{}
}

// Edge is one open stream as an operator sees it.
type Edge struct {
	Name, Version, Address string
	App                    string // that it acts for
	Since                  time.Time
	// Wanted is what it subscribed to and may have, as of its last state.
	Wanted []Holding
	// Held is what it acknowledged.
	Held []Holding
}

// Holding is one credential at one version, 0 for none.
type Holding struct {
	AppID   string
	Kind    credential.Kind
	Version int64
}

func (e *Edges) join(edge Edge) *Edge {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.open == nil {
		e.open = make(map[*Edge]struct{})
	}
	e.open[&edge] = struct{}{}
	return &edge
}

func (e *Edges) leave(edge *Edge) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.open, edge)
}

// change lets f change an edge while nobody looks.
func (e *Edges) change(edge *Edge, f func(*Edge)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f(edge)
}

// List returns every open stream, the oldest first.
func (e *Edges) List() []Edge {
	e.mu.Lock()
	defer e.mu.Unlock()
	var list []Edge
	for edge := range maps.Keys(e.open) {
		list = append(list, *edge)
	}
	slices.SortFunc(list, func(a, b Edge) int { return a.Since.Compare(b.Since) })
	return list
}

// Behind returns what the edge should hold and does not, or holds older.
func (e Edge) Behind() []Holding {
	var behind []Holding
	for _, want := range e.Wanted {
		has := slices.ContainsFunc(e.Held, func(h Holding) bool {
			return h.AppID == want.AppID && h.Kind == want.Kind && h.Version >= want.Version
		})
		if !has {
			behind = append(behind, want)
		}
	}
	return behind
}
