package logqueue

import (
	"io"
	"log/slog"
	"sync"
	"time"
)

const (
	// capacity bounds each of the two queues, in bytes.
	capacity = 1 << 20
	// overhead is about how many bytes a line takes besides its text.
	overhead = 100
	// flushTimeout bounds how long Close waits for the reader of the log.
	flushTimeout = time.Second
)

// levels are the levels that lines are counted by. Lines of the first are dropped
// first.
var levels = []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}

// counts are numbers of lines, by level.
type counts [4]int

// line is one line of the log.
type line struct {
	text   []byte
	number uint64 // in the order of arrival
	level  int    // of levels; an ordinary line's
	lost   func() // tells an audit line's sender; nil for an ordinary line
	about  counts // the dropped lines that this line tells of
}

func (l line) size() int { return len(l.text) + overhead }

// Queue writes lines to the log. Make it with New. It is a prometheus.Collector.
type Queue struct {
	out     io.Writer
	dropped dropCounter

	mu           sync.Mutex
	changed      sync.Cond // a line has come, or the queue was closed
	ordinary     [4][]line // by level, the oldest first
	audit        []line
	ordinarySize int // bytes that wait there
	auditSize    int
	number       uint64              // of lines so far
	missing      counts              // lines that were dropped and not told of yet
	notice       func(counts) []byte // formats the line that tells of them, nil for no such line
	failing      bool                // the last line could not be written
	closed       bool

	ended chan struct{} // closed when everything was written after Close
}

// New returns a Queue of program that writes to out. Close ends it.
func New(program string, out io.Writer) *Queue {
	q := &Queue{out: out, dropped: newDropCounter(program), ended: make(chan struct{})}
	q.changed.L = &q.mu
	go q.writeOut()
	return q
}

// Write adds a text as an ordinary line of the level error.
func (q *Queue) Write(text []byte) (int, error) {
	q.add(line{text: append([]byte(nil), text...), level: len(levels) - 1})
	return len(text), nil
}

// add adds a line. If there is no room, it drops that line or others.
func (q *Queue) add(l line) {
	q.mu.Lock()
	fits := !q.closed && q.makeRoom(l)
	if fits {
		q.number++
		l.number = q.number
		if l.lost != nil {
			q.audit = append(q.audit, l)
			q.auditSize += l.size()
		} else {
			q.ordinary[l.level] = append(q.ordinary[l.level], l)
			q.ordinarySize += l.size()
		}
		q.changed.Signal()
	} else if l.lost == nil {
		q.drop(l.level)
	}
	q.mu.Unlock()
	if !fits && l.lost != nil {
		l.lost()
	}
}

// makeRoom reports whether there is room for a line. For an ordinary one it
// drops lines that are less severe, then older ones of the same level. q.mu is
// held.
func (q *Queue) makeRoom(l line) bool {
	switch {
	case l.size() > capacity: // nothing is dropped for a line that cannot stay
		return false
	case l.lost != nil:
		return q.auditSize+l.size() <= capacity
	}
	for level := 0; level <= l.level && q.ordinarySize+l.size() > capacity; {
		if len(q.ordinary[level]) == 0 {
			level++
			continue
		}
		q.ordinarySize -= pop(&q.ordinary[level]).size()
		q.drop(level)
	}
	return q.ordinarySize+l.size() <= capacity
}

// drop counts a line that is dropped. q.mu is held.
func (q *Queue) drop(level int) {
	q.missing[level]++
	q.dropped.level[level].Inc()
}

func pop(from *[]line) line {
	first := (*from)[0]
	(*from)[0] = line{} // its text is garbage once it is written
	if *from = (*from)[1:]; len(*from) == 0 {
		*from = nil // and so is the array
	}
	return first
}

// next waits for a line that is to be written, and returns it: the oldest audit line,
// else the line that tells how many were dropped, else the oldest ordinary line. It
// returns false once the queue is closed and empty.
func (q *Queue) next() (line, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		oldest := -1 // its level
		for level, lines := range q.ordinary {
			if len(lines) > 0 && (oldest < 0 || lines[0].number < q.ordinary[oldest][0].number) {
				oldest = level
			}
		}
		switch {
		case len(q.audit) > 0:
			l := pop(&q.audit)
			q.auditSize -= l.size()
			return l, true
		case q.missing != counts{} && q.notice != nil && !q.failing:
			l := line{text: q.notice(q.missing), about: q.missing}
			q.missing = counts{}
			return l, true
		case oldest >= 0:
			l := pop(&q.ordinary[oldest])
			q.ordinarySize -= l.size()
			return l, true
		case q.closed:
			return line{}, false
		}
		q.changed.Wait()
	}
}

// writeOut writes lines until the queue is closed and empty.
func (q *Queue) writeOut() {
	defer close(q.ended)
	for {
		l, ok := q.next()
		if !ok {
			return
		}
		_, err := q.out.Write(l.text)
		q.written(l, err)
	}
}

// written takes note of whether a line could be written.
func (q *Queue) written(l line, err error) {
	q.mu.Lock()
	q.failing = err != nil
	switch {
	case err == nil || l.lost != nil:
	case l.about != counts{}:
		for level, n := range l.about {
			q.missing[level] += n
		}
	default:
		q.drop(l.level)
	}
	q.mu.Unlock()
	if err != nil && l.lost != nil {
		l.lost()
	}
}

// Close waits, for a second at most, until every line is written. Lines that
// come later are dropped.
func (q *Queue) Close() {
	q.mu.Lock()
	q.closed = true
	q.changed.Signal()
	q.mu.Unlock()
	timer := time.NewTimer(flushTimeout)
	defer timer.Stop()
	select {
	case <-q.ended:
	case <-timer.C:
	}
}
