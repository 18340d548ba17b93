package rpctest

import (
	"bytes"
	"slices"
	"strings"
	"sync"
)

// Journal is a log that can be read while it is written.
type Journal struct {
	mu  sync.Mutex
	out bytes.Buffer
}

// Write implements [io.Writer].
func (j *Journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.out.Write(p)
}

// Take returns the audit's lines since the last call.
func (j *Journal) Take() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	lines := strings.Split(j.out.String(), "\n")
	j.out.Reset()
	return slices.DeleteFunc(lines, func(line string) bool { return !strings.Contains(line, "msg=audit") })
}
