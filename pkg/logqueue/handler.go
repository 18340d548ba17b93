package logqueue

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// Format returns a handler that writes lines to w, such as slog.NewJSONHandler
// does.
type Format func(w io.Writer) slog.Handler

// Logger returns a logger whose lines go through the queue.
func (q *Queue) Logger(format Format) *slog.Logger {
	f := new(formatter)
	h := handler{Handler: format(&f.buffer), formatter: f, queue: q}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.notice = h.notice
	return slog.New(h)
}

type auditKey struct{}

// Audit returns a context. The line that is logged with it is an audit line. If that
// line is lost, lost is called, on any goroutine.
func Audit(ctx context.Context, lost func()) context.Context {
	return context.WithValue(ctx, auditKey{}, lost)
}

// handler puts formatted lines into the queue. Handlers that WithAttrs and WithGroup
// make of it share its formatter.
type handler struct {
	slog.Handler
	formatter *formatter
	queue     *Queue
}

// formatter is the buffer that lines are formatted in, one at a time.
type formatter struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

// Handle implements slog.Handler.
func (h handler) Handle(ctx context.Context, r slog.Record) error {
	text, err := h.format(ctx, r)
	if err != nil {
		return err
	}
	l := line{text: text, level: levelOf(r.Level)}
	l.lost, _ = ctx.Value(auditKey{}).(func())
	h.queue.add(l)
	return nil
}

func (h handler) format(ctx context.Context, r slog.Record) ([]byte, error) {
	h.formatter.mu.Lock()
	defer h.formatter.mu.Unlock()
	h.formatter.buffer.Reset()
	err := h.Handler.Handle(ctx, r)
	return bytes.Clone(h.formatter.buffer.Bytes()), err
}

// WithAttrs implements slog.Handler.
func (h handler) WithAttrs(attributes []slog.Attr) slog.Handler {
	h.Handler = h.Handler.WithAttrs(attributes)
	return h
}

// WithGroup implements slog.Handler.
func (h handler) WithGroup(name string) slog.Handler {
	h.Handler = h.Handler.WithGroup(name)
	return h
}

// levelOf returns the index in levels of the level that a line counts as.
func levelOf(l slog.Level) int {
	for i := len(levels) - 1; i > 0; i-- {
		if l >= levels[i] {
			return i
		}
	}
	return 0
}

// notice formats the line that tells of dropped lines.
func (h handler) notice(missing counts) []byte {
	r := slog.NewRecord(time.Now(), slog.LevelWarn, "log lines were dropped: whoever reads this log did not keep up", 0)
	for i, n := range missing {
		if n > 0 {
			r.AddAttrs(slog.Int(strings.ToLower(levels[i].String()), n))
		}
	}
	text, _ := h.format(context.Background(), r) // writing to a buffer never fails
	return text
}
