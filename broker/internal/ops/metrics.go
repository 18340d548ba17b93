// Package ops shows the broker to its operator as Prometheus metrics.
// docs/operations.md lists every metric.
//
// Calls to WeChat are counted as they happen (metrics.go). Everything else is read from
// one snapshot for each scrape (state.go).
//
// The rule to keep: nothing here holds a secret.
package ops

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wxbroker/wxbroker/broker/internal/snapshot"
	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/daemon"
)

// Metrics collects the broker's metrics.
type Metrics struct {
	// Registry has everything that is collected.
	Registry *prometheus.Registry
	calls    *prometheus.CounterVec
}

// New returns Metrics that also have the metrics of the Go runtime and of the build.
func New(version string) *Metrics {
	m := &Metrics{
		Registry: daemon.Registry("wxbroker", version),
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wxbroker_wechat_calls_total",
			Help: "Calls made to WeChat, by appid, API and result: ok, WeChat's errcode, or the class of the failure.",
		}, []string{"appid", "api", "result"}),
	}
	m.Registry.MustRegister(m.calls)
	return m
}

// Called counts a call to WeChat.
func (m *Metrics) Called(appid string, api wechat.API, err *wechat.Error) {
	result := "ok"
	switch {
	case err != nil && err.Code != 0:
		result = strconv.Itoa(int(err.Code))
	case err != nil:
		result = string(err.Class)
	}
	m.calls.WithLabelValues(appid, string(api), result).Inc()
}

// Watch adds the state of the broker to the metrics.
func (m *Metrics) Watch(source *snapshot.Source) { m.Registry.MustRegister(state{source}) }
