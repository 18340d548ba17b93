// Package audit tells through which local key the edge handed out a credential
// or reported one, and who was refused: a log line for each, and a count. No
// line holds a credential or a key.
package audit

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"github.com/wxbroker/wxbroker/pkg/credential"
)

// Action is what was asked for.
type Action string

// The actions.
const (
	Token  Action = "token"  // the access_token itself
	Ticket Action = "ticket" // the jsapi_ticket itself
	Report Action = "report" // that the broker looks into a credential
)

// Entry is one line. What is not known is empty.
type Entry struct {
	LocalKey string // the name of the key that was presented, "" if it is none
	Action   Action
	AppID    string
	Kind     credential.Kind
	Status   int    // HTTP's
	Address  string // where it was asked from
	Reason   string // why not
}

// outcome is what came of it, by the answer's status.
func (e Entry) outcome() string {
	switch {
	case e.Status < http.StatusBadRequest:
		return "granted"
	case e.Status < http.StatusInternalServerError:
		return "refused"
	default:
		return "failed" // the caller may, and there was another reason
	}
}

const (
	// strangersPerSecond is how many lines about callers without a key are
	// logged a second in the long run, strangersAtOnce how many together: who
	// may do nothing should not be able to fill a disk either.
	strangersPerSecond = 10
	strangersAtOnce    = 100
	// maxReason bounds a reason, in bytes: callers have a say in some.
	maxReason = 512
)

// Log writes entries. Make it with New. It is a prometheus.Collector of
// wxedge_audit_total{local_key,action,outcome}.
type Log struct {
	log   *slog.Logger
	count *prometheus.CounterVec

	mu         sync.Mutex
	strangers  *rate.Limiter
	suppressed int // lines since the last one
}

// New returns a Log that writes to log.
func New(log *slog.Logger) *Log {
	return &Log{
		log: log,
		count: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wxedge_audit_total",
			Help: "Credentials handed out, reports and refusals, by local key (empty for callers without one), action and outcome.",
		}, []string{"local_key", "action", "outcome"}),
		strangers: rate.NewLimiter(strangersPerSecond, strangersAtOnce),
	}
}

// Describe implements prometheus.Collector.
func (l *Log) Describe(descs chan<- *prometheus.Desc) { l.count.Describe(descs) }

// Collect implements prometheus.Collector.
func (l *Log) Collect(metrics chan<- prometheus.Metric) { l.count.Collect(metrics) }

// Write counts an entry and logs it.
func (l *Log) Write(e Entry) {
	l.count.WithLabelValues(e.LocalKey, string(e.Action), e.outcome()).Inc()
	suppressed, ok := l.admit(e.LocalKey == "")
	if !ok {
		return
	}
	attributes := []slog.Attr{
		slog.String("local_key", e.LocalKey), slog.String("action", string(e.Action)), slog.String("appid", e.AppID),
		slog.String("kind", string(e.Kind)), slog.String("outcome", e.outcome()), slog.Int("status", e.Status), slog.String("address", e.Address),
	}
	if e.Reason != "" {
		attributes = append(attributes, slog.String("reason", cut(e.Reason)))
	}
	if suppressed > 0 {
		attributes = append(attributes, slog.Int("suppressed", suppressed))
	}
	l.log.LogAttrs(context.Background(), slog.LevelInfo, "audit", attributes...)
}

// admit reports whether a line may be written now, and how many were not since
// the last.
func (l *Log) admit(stranger bool) (suppressed int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if stranger && !l.strangers.AllowN(time.Now(), 1) {
		l.suppressed++
		return 0, false
	}
	suppressed, l.suppressed = l.suppressed, 0
	return suppressed, true
}

func cut(s string) string {
	if len(s) <= maxReason {
		return s
	}
	return strings.ToValidUTF8(s[:maxReason], "") + "…"
}
