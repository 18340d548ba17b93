package simulation

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// history is what happened in one seed, for the person who has to find out why it failed.
type history struct {
	mu    sync.Mutex
	start time.Time
	lines []string
}

// kept bounds the history: the cause of a failure is near the end.
const kept = 400

func (h *history) addf(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.lines) >= kept {
		h.lines = h.lines[1:]
	}
	h.lines = append(h.lines, fmt.Sprintf("%9.1fs  ", time.Since(h.start).Seconds())+fmt.Sprintf(format, args...))
}

func (h *history) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.lines, "\n")
}

type historian struct {
	h     *history
	who   string
	attrs string
	// heard is called with each line, unless it is nil.
	heard func(slog.Record)
}

func (*historian) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }

func (l *historian) Handle(_ context.Context, r slog.Record) error {
	text := l.who + ": " + r.Level.String() + " " + r.Message + l.attrs
	r.Attrs(func(a slog.Attr) bool {
		text += " " + a.String()
		return true
	})
	l.h.addf("%s", text)
	if l.heard != nil {
		l.heard(r)
	}
	return nil
}

func (l *historian) WithAttrs(attrs []slog.Attr) slog.Handler {
	next := *l
	for _, a := range attrs {
		next.attrs += " " + a.String()
	}
	return &next
}

func (l *historian) WithGroup(string) slog.Handler { return l }
