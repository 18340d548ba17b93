// Package audit records who was given what, and who was refused. Each event is counted
// and has a log line. The program decides what else is in a line. The rule to keep: a
// line never has a credential.
//
// The count is exact, whatever becomes of the lines. Lines can be missing for two
// reasons, and the log tells of both. Refusals that come too fast are suppressed: the
// next line says how many. A line is lost when nobody reads the log and its queue is
// full, or when it cannot be written (see package logqueue): the next line that gets
// through says how many, by app, action and outcome, and a metric counts them.
package audit

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"github.com/wxbroker/wxbroker/pkg/logqueue"
)

// Outcome is the outcome of an action.
type Outcome string

// The outcomes.
const (
	Granted Outcome = "granted"
	Refused Outcome = "refused" // the caller may not do it
	Revoked Outcome = "revoked" // the caller had it until now, and no longer may
	Failed  Outcome = "failed"  // the caller may do it, and it failed for another reason
)

// Line is one event, and the line that tells of it.
type Line struct {
	// Who is the app or key. "" is a stranger, who may do nothing.
	Who     string
	Action  string // the action that was asked for
	Outcome Outcome
	// More has the line's other attributes.
	More []slog.Attr
}

const (
	// refusalsPerSecond is how many refusals are logged a second in the long run, for
	// each app or key, and for all strangers together. refusalsAtOnce is how many may
	// come at once. So a refused caller cannot fill a disk.
	refusalsPerSecond = 1
	refusalsAtOnce    = 200
	// maxText bounds a text, in bytes, because some texts come from strangers.
	maxText = 512
)

// Log writes lines. Make it with New. It is a prometheus.Collector of
//
//	<program>_audit_total{<who>,action,outcome}
//	<program>_audit_lines_lost_total{<who>,action,outcome}
type Log struct {
	log         *slog.Logger
	who         string
	count, lost *prometheus.CounterVec

	mu       sync.Mutex
	refusals map[string]*rate.Limiter // by who: names in the configuration, and ""
	missing  missingLines
}

// missingLines are the missing lines that no line has told of yet.
type missingLines struct {
	suppressed int
	lost       map[subject]int
}

// subject is who, action and outcome. Lines are counted by it.
type subject struct {
	who, action string
	outcome     Outcome
}

// String returns WHO/ACTION/OUTCOME. WHO is empty for a stranger.
func (s subject) String() string { return s.who + "/" + s.action + "/" + string(s.outcome) }

// New returns a Log of program that writes to log. who is the name of the attribute and
// label for the actor: app, or local_key.
func New(log *slog.Logger, program, who string) *Log {
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: program + name, Help: help}, []string{who, "action", "outcome"})
	}
	return &Log{
		log: log, who: who,
		count:    counter("_audit_total", "What was granted and refused, by "+who+" (empty for strangers), action and outcome."),
		lost:     counter("_audit_lines_lost_total", "Audit lines that were lost because nobody read the log, by "+who+" (empty for strangers), action and outcome."),
		refusals: make(map[string]*rate.Limiter),
	}
}

// Describe implements prometheus.Collector.
func (l *Log) Describe(descs chan<- *prometheus.Desc) {
	l.count.Describe(descs)
	l.lost.Describe(descs)
}

// Collect implements prometheus.Collector.
func (l *Log) Collect(metrics chan<- prometheus.Metric) {
	l.count.Collect(metrics)
	l.lost.Collect(metrics)
}

// Write counts a line and logs it.
func (l *Log) Write(ctx context.Context, line Line) {
	about := subject{line.Who, line.Action, line.Outcome}
	l.count.WithLabelValues(about.labels()...).Inc()
	before, ok := l.admit(line)
	if !ok {
		return
	}
	attributes := append([]slog.Attr{
		slog.String(l.who, line.Who), slog.String("action", line.Action), slog.String("outcome", string(line.Outcome)),
	}, line.More...)
	attributes = append(attributes, before.attributes()...)
	ctx = logqueue.Audit(ctx, func() { l.lose(about, before) })
	l.log.LogAttrs(ctx, slog.LevelInfo, "audit", attributes...)
}

func (s subject) labels() []string { return []string{s.who, s.action, string(s.outcome)} }

// attributes returns the attributes by which a line tells of the missing lines.
func (m missingLines) attributes() []slog.Attr {
	var list []slog.Attr
	if m.suppressed > 0 {
		list = append(list, slog.Int("suppressed", m.suppressed))
	}
	var lost []slog.Attr
	for about, n := range m.lost {
		lost = append(lost, slog.Int(about.String(), n))
	}
	slices.SortFunc(lost, func(a, b slog.Attr) int { return strings.Compare(a.Key, b.Key) })
	if lost != nil {
		list = append(list, slog.GroupAttrs("lost", lost...))
	}
	return list
}

// lose notes that a line is lost. The missing lines that it told of then count as
// missing again.
func (l *Log) lose(about subject, before missingLines) {
	l.lost.WithLabelValues(about.labels()...).Inc()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.missing.suppressed += before.suppressed
	if l.missing.lost == nil {
		l.missing.lost = make(map[subject]int)
	}
	for other, n := range before.lost {
		l.missing.lost[other] += n
	}
	l.missing.lost[about]++
}

// Texts returns pairs of key and value as attributes. It leaves out empty values and
// cuts long ones.
func Texts(pairs ...string) []slog.Attr {
	var attributes []slog.Attr
	for i := 0; i+1 < len(pairs); i += 2 {
		if value := pairs[i+1]; value != "" {
			attributes = append(attributes, slog.String(pairs[i], cut(value)))
		}
	}
	return attributes
}

func cut(s string) string {
	if len(s) <= maxText {
		return s
	}
	return strings.ToValidUTF8(s[:maxText], "") + "…"
}

// admit reports whether a line may be written now. before are the missing lines that
// it has to tell of.
func (l *Log) admit(line Line) (before missingLines, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if line.Who == "" || line.Outcome == Refused {
		limiter, known := l.refusals[line.Who]
		if !known {
			limiter = rate.NewLimiter(refusalsPerSecond, refusalsAtOnce)
			l.refusals[line.Who] = limiter
		}
		if !limiter.AllowN(time.Now(), 1) {
			l.missing.suppressed++
			return missingLines{}, false
		}
	}
	before, l.missing = l.missing, missingLines{}
	return before, true
}
