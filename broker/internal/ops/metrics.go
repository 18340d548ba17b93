// Package ops shows the broker to its operator as Prometheus metrics. Nothing
// here holds a secret. docs/operations.md lists every metric.
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

// New returns Metrics with those of the Go runtime and of the build.
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

// Watch makes the state of the broker part of what is collected.
func (m *Metrics) Watch(source *snapshot.Source) { m.Registry.MustRegister(state{source}) }
