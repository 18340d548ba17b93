package logqueue

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// dropCounter counts the ordinary lines that were dropped.
type dropCounter struct {
	*prometheus.CounterVec
	level [4]prometheus.Counter
}

func newDropCounter(program string) dropCounter {
	d := dropCounter{CounterVec: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: program + "_log_lines_dropped_total",
		Help: "Log lines that were dropped because whoever reads the log did not keep up, by level. Audit lines are not among them.",
	}, []string{"level"})}
	for i, level := range levels {
		d.level[i] = d.WithLabelValues(strings.ToLower(level.String()))
	}
	return d
}

// Describe implements prometheus.Collector.
func (q *Queue) Describe(descs chan<- *prometheus.Desc) { q.dropped.Describe(descs) }

// Collect implements prometheus.Collector.
func (q *Queue) Collect(metrics chan<- prometheus.Metric) { q.dropped.Collect(metrics) }
