// Package audit tells who was given what, and who was refused: one log line for
// each, and a count. What is in a line is for its program to say; a credential
// never is.
package audit

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
)

// Outcome is what came of it.
type Outcome string

// The outcomes.
const (
	Granted Outcome = "granted"
	Refused Outcome = "refused" // the caller may not
	Revoked Outcome = "revoked" // it had it, and no longer may
	Failed  Outcome = "failed"  // it may, and there was another reason
)

// Line is one line.
type Line struct {
	// Who is the app or key, "" for a stranger: who may do nothing.
	Who     string
	Action  string // what was to be done
	Outcome Outcome
	// More is whatever else there is to say.
	More []slog.Attr
}

const (
	// refusalsPerSecond is how many refusals of one and the same, or of all
	// strangers together, are logged a second in the long run, refusalsAtOnce how
	// many together: who may not do something should not be able to fill a disk
	// either.
	refusalsPerSecond = 1
	refusalsAtOnce    = 200
	// maxText bounds a text, in bytes: strangers have a say in some.
	maxText = 512
)

// Log writes lines. Make it with New. It is a prometheus.Collector of
// <program>_audit_total{<who>,action,outcome}.
type Log struct {
	log   *slog.Logger
	who   string
	count *prometheus.CounterVec

	mu         sync.Mutex
	refusals   map[string]*rate.Limiter // by who: names of the configuration's, and ""
	suppressed int                      // lines since the last one
}

// New returns a Log of program that writes to log. Who is what it calls whoever
// acts: app, or local_key.
func New(log *slog.Logger, program, who string) *Log {
	return &Log{
		log: log, who: who,
		count: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: program + "_audit_total",
			Help: "What was granted and refused, by " + who + " (empty for strangers), action and outcome.",
		}, []string{who, "action", "outcome"}),
		refusals: make(map[string]*rate.Limiter),
	}
}

// Describe implements prometheus.Collector.
func (l *Log) Describe(descs chan<- *prometheus.Desc) { l.count.Describe(descs) }

// Collect implements prometheus.Collector.
func (l *Log) Collect(metrics chan<- prometheus.Metric) { l.count.Collect(metrics) }

// Write counts a line and logs it.
func (l *Log) Write(ctx context.Context, line Line) {
	l.count.WithLabelValues(line.Who, line.Action, string(line.Outcome)).Inc()
	suppressed, ok := l.admit(line)
	if !ok {
		return
	}
	attributes := append([]slog.Attr{
		slog.String(l.who, line.Who), slog.String("action", line.Action), slog.String("outcome", string(line.Outcome)),
	}, line.More...)
	if suppressed > 0 {
		attributes = append(attributes, slog.Int("suppressed", suppressed))
	}
	l.log.LogAttrs(ctx, slog.LevelInfo, "audit", attributes...)
}

// Texts returns pairs of key and value as attributes, without the empty ones,
// and none of them long.
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

// admit reports whether a line may be written now, and how many were not since
// the last.
func (l *Log) admit(line Line) (suppressed int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if line.Who == "" || line.Outcome == Refused {
		limiter, known := l.refusals[line.Who]
		if !known {
			limiter = rate.NewLimiter(refusalsPerSecond, refusalsAtOnce)
			l.refusals[line.Who] = limiter
		}
		if !limiter.AllowN(time.Now(), 1) {
			l.suppressed++
			return 0, false
		}
	}
	suppressed, l.suppressed = l.suppressed, 0
	return suppressed, true
}
