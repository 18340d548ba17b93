package logqueue_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/wxbroker/wxbroker/pkg/logqueue"
)

// reader is whoever reads the log. It can stop reading, or be gone.
type reader struct {
	mu    sync.Mutex
	reads sync.Cond
	stops bool
	gone  bool
	lines []string
}

func (r *reader) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.stops {
		r.reads.Wait()
	}
	if r.gone {
		return 0, errors.New("broken pipe")
	}
	r.lines = append(r.lines, string(p))
	return len(p), nil
}

// set changes what the reader does.
func (r *reader) set(stops, gone bool) {
	r.mu.Lock()
	r.stops, r.gone = stops, gone
	r.reads.Broadcast()
	r.mu.Unlock()
	synctest.Wait()
}

// log is a queue with a logger of the form LEVEL MESSAGE ATTRIBUTES.
type log struct {
	*slog.Logger
	*logqueue.Queue
	t      *testing.T
	reader *reader
}

func inBubble(t *testing.T, test func(*testing.T, *log)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := new(reader)
		r.reads.L = &r.mu
		q := logqueue.New("wxtest", r)
		t.Cleanup(func() { r.set(false, false); q.Close() })
		test(t, &log{q.Logger(plain), q, t, r})
	})
}

func plain(w io.Writer) slog.Handler {
	return slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})
}

// reads returns the lines that were read since the last call.
func (l *log) reads() []string {
	synctest.Wait()
	l.reader.mu.Lock()
	defer l.reader.mu.Unlock()
	lines := l.reader.lines
	l.reader.lines = nil
	return lines
}

// dropped checks the counts of dropped lines.
func (l *log) dropped(debug, info, warn, err int) {
	l.t.Helper()
	want := fmt.Sprintf(`# HELP wxtest_log_lines_dropped_total Log lines that were dropped because whoever reads the log did not keep up, by level. Audit lines are not among them.
# TYPE wxtest_log_lines_dropped_total counter
wxtest_log_lines_dropped_total{level="debug"} %d
wxtest_log_lines_dropped_total{level="error"} %d
wxtest_log_lines_dropped_total{level="info"} %d
wxtest_log_lines_dropped_total{level="warn"} %d
`, debug, err, info, warn)
	if e := testutil.CollectAndCompare(l, strings.NewReader(want)); e != nil {
		l.t.Error(e)
	}
}

// kib is a text that makes a line of about a KiB: a thousand of them fit.
var kib = strings.Repeat("x", 1024-150)

func TestLinesPassInOrder(t *testing.T) {
	inBubble(t, func(t *testing.T, l *log) {
		l.Debug("one", "a", 1)
		l.Logger.With("b", 2).WithGroup("g").Warn("two", "c", 3)
		l.Log(t.Context(), slog.LevelError+4, "three")
		_, _ = io.WriteString(l.Queue, "four\n")
		want := "level=DEBUG msg=one a=1\nlevel=WARN msg=two b=2 g.c=3\nlevel=ERROR+4 msg=three\nfour\n"
		if got := strings.Join(l.reads(), ""); got != want {
			t.Errorf("read %q", got)
		}
		l.dropped(0, 0, 0, 0)
	})
}

// TestNobodyWaits: whoever logs goes on while nobody reads. Lines that do not fit are
// dropped by severity and age. They are counted, and a line tells of them.
func TestNobodyWaits(t *testing.T) {
	inBubble(t, func(t *testing.T, l *log) {
		l.reader.set(true, false)
		l.Error("in the reader's hands")
		synctest.Wait()
		for i := range 300 {
			l.Error("error", "n", i, "text", kib)
			l.Debug("debug", "n", i, "text", kib)
		}
		for i := range 2000 {
			l.Info("info", "n", i, "text", kib)
		}
		l.reader.set(false, false)
		lines := l.reads()
		seen := map[string]int{}
		for _, line := range lines {
			_, rest, _ := strings.Cut(line, "msg=")
			word, _, _ := strings.Cut(rest, " ")
			seen[word]++
		}
		if seen["error"] != 300 || seen["debug"] != 0 || seen["info"] < 600 || seen["info"] > 750 {
			t.Errorf("read %v", seen)
		}
		l.dropped(300, 2000-seen["info"], 0, 0)
		want := fmt.Sprintf("level=WARN msg=\"log lines were dropped: whoever reads this log did not keep up\" debug=300 info=%d\n", 2000-seen["info"])
		if lines[1] != want {
			t.Errorf("after the first line comes %q, want %q", lines[1], want)
		}
		if last := lines[len(lines)-1]; !strings.Contains(last, "msg=info n=1999 ") {
			t.Errorf("the newest line is not the last: %.40s", last)
		}
		l.Info("told once")
		if got := l.reads(); len(got) != 1 {
			t.Errorf("read %q", got)
		}
	})
}

// TestMemoryIsBounded: a line larger than the queue finds no room, and drops no more
// severe line.
func TestMemoryIsBounded(t *testing.T) {
	for name, large := range map[string]func(l *log, text string){
		"debug": func(l *log, text string) { l.Debug("large", "text", text) },
		"error": func(l *log, text string) { l.Error("large", "text", text) }, // more severe than what waits
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, l *log) {
				l.reader.set(true, false)
				l.Info("in the reader's hands")
				synctest.Wait()
				l.Warn("small")
				large(l, strings.Repeat("x", 2<<20))
				l.reader.set(false, false)
				if got := l.reads(); len(got) != 3 || !strings.Contains(got[1], "dropped") || !strings.Contains(got[2], "small") {
					t.Errorf("read %d lines", len(got))
				}
				if name == "debug" {
					l.dropped(1, 0, 0, 0)
				} else {
					l.dropped(0, 0, 0, 1)
				}
			})
		})
	}
}

func TestAuditLines(t *testing.T) {
	inBubble(t, func(t *testing.T, l *log) {
		l.reader.set(true, false)
		l.Info("in the reader's hands")
		synctest.Wait()
		l.Error("before")
		lost := 0
		audit := func(n int) {
			l.InfoContext(logqueue.Audit(t.Context(), func() { lost++ }), "audit", "n", n, "text", kib)
		}
		for i := range 2000 {
			audit(i)
		}
		kept := 2000 - lost
		if kept < 900 || kept > 1100 {
			t.Errorf("%d lines were kept", kept)
		}
		l.reader.set(false, false)
		lines := l.reads()
		if len(lines) != kept+2 || !strings.Contains(lines[kept+1], "msg=before") {
			t.Errorf("read %d lines", len(lines))
		}
		for i, line := range lines[1 : kept+1] { // the first that came, in order, before an older ordinary line
			if !strings.Contains(line, fmt.Sprintf("msg=audit n=%d ", i)) {
				t.Fatalf("line %d is %.30s", i, line)
			}
		}
		l.dropped(0, 0, 0, 0)

		l.reader.set(false, true)
		lost = 0
		audit(1)
		synctest.Wait()
		if lost != 1 {
			t.Error("a line that could not be written was not lost")
		}
	})
}

// TestTheReaderIsGone: lines that cannot be written are dropped like others. A line
// tells how many once somebody reads again.
func TestTheReaderIsGone(t *testing.T) {
	inBubble(t, func(t *testing.T, l *log) {
		l.reader.set(false, true)
		for i := range 5 {
			l.Warn("nobody reads this", "n", i)
			synctest.Wait()
		}
		l.dropped(0, 0, 5, 0)
		l.reader.set(false, false)
		l.Info("somebody is back")
		got := strings.Join(l.reads(), "")
		if got != "level=INFO msg=\"somebody is back\"\nlevel=WARN msg=\"log lines were dropped: whoever reads this log did not keep up\" warn=5\n" {
			t.Errorf("read %q", got)
		}
		l.dropped(0, 0, 5, 0)
	})
}

func TestClose(t *testing.T) {
	inBubble(t, func(t *testing.T, l *log) {
		for i := range 100 {
			l.Info("line", "n", i)
		}
		start := time.Now()
		l.Close()
		if got := l.reads(); len(got) != 100 || time.Since(start) != 0 {
			t.Errorf("%d lines were written in %v", len(got), time.Since(start))
		}
		l.Info("too late")
		if got := l.reads(); len(got) != 0 {
			t.Errorf("read %q", got)
		}
		l.dropped(0, 1, 0, 0)
	})
	inBubble(t, func(t *testing.T, l *log) {
		l.reader.set(true, false)
		l.Info("nobody reads this")
		synctest.Wait()
		start := time.Now()
		l.Close()
		if took := time.Since(start); took != time.Second {
			t.Errorf("closing took %v", took)
		}
	})
}

// TestTheTimeIsThatOfTheEvent although the line is written later.
func TestTheTimeIsThatOfTheEvent(t *testing.T) {
	inBubble(t, func(t *testing.T, l *log) {
		l.reader.set(true, false)
		timed := slog.New(l.Queue.Logger(func(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, nil) }).Handler())
		l.Info("in the reader's hands")
		synctest.Wait()
		event := time.Now()
		timed.InfoContext(logqueue.Audit(context.Background(), func() {}), "audit")
		timed.Info("ordinary")
		time.Sleep(time.Hour)
		l.reader.set(false, false)
		want := event.Format(`"time":"2006-01-02T15:04:05`)
		for _, line := range l.reads()[1:] {
			if !strings.Contains(line, want) {
				t.Errorf("%s is not of %v", line, event)
			}
		}
	})
}
