// Package logtest has a log that a test reads while a program writes it.
package logtest

import (
	"log/slog"
	"slices"
	"strings"
	"sync"
)

// Log keeps what is written to it. The zero value is empty.
type Log struct {
	mu    sync.Mutex
	text  []byte
	taken int // how much of it Take has returned
}

// Write implements [io.Writer].
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	return len(p), nil
}

// Logger returns a logger that writes to it, in slog's text format.
func (l *Log) Logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// String returns all that was written.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}

// Take returns the lines that were written since the last call, without their ends.
func (l *Log) Take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := slices.Collect(strings.Lines(string(l.text[l.taken:])))
	l.taken = len(l.text)
	for i := range lines {
		lines[i] = strings.TrimSuffix(lines[i], "\n")
	}
	return lines
}
