package simulation

import (
	"fmt"
	"log/slog"
	"sync"
)

// holdingLog follows the versions that an edge's log says it holds. Between two looks at
// the edge itself it may have gone back and come forward again.
type holdingLog struct {
	mu       sync.Mutex
	versions map[string]int64 // by kind
	back     string           // how the edge went back, "" if it did not
}

func (h *holdingLog) heard(r slog.Record) {
	if r.Message != "holding" {
		return
	}
	var kind string
	var version int64
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "kind":
			kind = a.Value.String()
		case "version":
			version = a.Value.Int64()
		}
		return true
	})
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.versions == nil {
		h.versions = make(map[string]int64)
	}
	if before := h.versions[kind]; version < before {
		h.back = fmt.Sprintf("from version %d of %s to %d", before, kind, version)
	}
	h.versions[kind] = version
}

func (h *holdingLog) wentBack() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.back
}
