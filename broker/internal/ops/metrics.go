// Package ops shows the broker to its operator as Prometheus metrics. Nothing
// here holds a secret. docs/operations.md lists every metric.
package ops

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wxbroker/wxbroker/broker/internal/keeper"
	"github.com/wxbroker/wxbroker/broker/internal/rpc"
	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/daemon"
)

// Metrics collects the broker's metrics.
type Metrics struct {
	// Registry has everything that is collected.
	Registry *prometheus.Registry
	// DatabaseSetAside is 1 when this process found the database damaged.
	DatabaseSetAside prometheus.Gauge
	calls            *prometheus.CounterVec
}

// New returns Metrics with those of the Go runtime and of the build.
func New(version string) *Metrics {
	m := &Metrics{
		Registry: daemon.Registry("wxbroker", version),
		DatabaseSetAside: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "wxbroker_database_set_aside",
			Help: "1 when the database was damaged at the start and set aside, until the next start.",
		}),
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wxbroker_wechat_calls_total",
			Help: "Calls made to WeChat, by appid, API and result: ok, WeChat's errcode, or the class of the failure.",
		}, []string{"appid", "api", "result"}),
	}
	m.Registry.MustRegister(m.calls, m.DatabaseSetAside)
	return m
}

// Called counts a call to WeChat.
func (m *Metrics) Called(appid string, api wechat.API, err *wechat.Error) {
	result := "ok"
	switch {
	case err != nil && err.Code != 0:
		result = strconv.Itoa(err.Code)
	case err != nil:
		result = string(err.Class)
	}
	m.calls.WithLabelValues(appid, string(api), result).Inc()
}

// Watch makes the accounts, the edges and WeChat's hosts part of what is collected.
func (m *Metrics) Watch(keepers []*keeper.Keeper, edges *rpc.Edges, hosts func() []wechat.Upstream) {
	m.Registry.MustRegister(accounts(keepers), connections{edges}, upstreams(hosts))
}

func boolean(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
