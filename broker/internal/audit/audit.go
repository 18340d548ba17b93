// Package audit tells who was given what, and who was refused: one log line for
// each, and a count. No line holds a credential.
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

// Entry is one line. What does not apply is empty.
type Entry struct {
	App      string // "" for a caller that is none
	Identity string
	Address  string
	Edge     string // what the edge calls itself
	LocalKey string // through which the edge was asked, as the edge says
	Action   string // what was to be done
	AppID    string // the account
	Kinds    []string
	Outcome  Outcome
	Reason   string // why not
}

const (
	// strangersPerSecond is how many refusals of callers that are no app are
	// logged a second in the long run, strangersAtOnce how many together: who
	// may do nothing should not be able to fill a disk either.
	strangersPerSecond = 10
	strangersAtOnce    = 200
)

// Log writes entries. Make it with New. It is a Prometheus collector.
type Log struct {
	log   *slog.Logger
	count *prometheus.CounterVec

	mu        sync.Mutex
	strangers *rate.Limiter
	leftOut   int // lines since the last one about a stranger
}

// New returns a Log that writes to log.
func New(log *slog.Logger) *Log {
	return &Log{
		log: log,
		count: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wxbroker_audit_total",
			Help: "What was granted and refused, by app (empty for callers that are none), action and outcome.",
		}, []string{"app", "action", "outcome"}),
		strangers: rate.NewLimiter(strangersPerSecond, strangersAtOnce),
	}
}

// Describe implements [prometheus.Collector].
func (l *Log) Describe(descs chan<- *prometheus.Desc) { l.count.Describe(descs) }

// Collect implements [prometheus.Collector].
func (l *Log) Collect(metrics chan<- prometheus.Metric) { l.count.Collect(metrics) }

// Write counts an entry and logs it.
func (l *Log) Write(ctx context.Context, e Entry) {
	l.count.WithLabelValues(e.App, e.Action, string(e.Outcome)).Inc()
	var leftOut int
	if e.App == "" {
		var ok bool
		if leftOut, ok = l.stranger(); !ok {
			return
		}
	}
	attributes := []slog.Attr{slog.String("app", e.App), slog.String("action", e.Action), slog.String("outcome", string(e.Outcome))}
	for _, a := range []struct{ key, value string }{
		{"identity", e.Identity},
		{"address", e.Address},
		{"edge", e.Edge},
		{"local_key", e.LocalKey},
		{"appid", e.AppID},
		{"reason", e.Reason},
	} {
		if a.value != "" {
			attributes = append(attributes, slog.String(a.key, cut(a.value)))
		}
	}
	if len(e.Kinds) > 0 {
		attributes = append(attributes, slog.Any("kinds", e.Kinds))
	}
	if leftOut > 0 {
		attributes = append(attributes, slog.Int("left_out", leftOut))
	}
	l.log.LogAttrs(ctx, slog.LevelInfo, "audit", attributes...)
}

// maxText bounds a text, in bytes: strangers have a say in some.
const maxText = 512

func cut(s string) string {
	if len(s) <= maxText {
		return s
	}
	return strings.ToValidUTF8(s[:maxText], "") + "…"
}

// stranger reports whether a line about a caller that is no app may be written
// now, and how many were not since the last.
func (l *Log) stranger() (leftOut int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.strangers.AllowN(time.Now(), 1) {
		l.leftOut++
		return 0, false
	}
	leftOut, l.leftOut = l.leftOut, 0
	return leftOut, true
}
