// Package ops shows the broker to its operator as Prometheus metrics. Nothing
// here holds a secret. docs/operations.md lists every metric.
package ops

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wxbroker/wxbroker/broker/internal/edges"
	"github.com/wxbroker/wxbroker/broker/internal/keeper"
	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/daemon"
)

// Metrics collects the broker's metrics.
type Metrics struct {
	// Registry has everything that is collected.
	Registry *prometheus.Registry
	// DatabaseSetAside is 1 when this process found the database damaged.
	DatabaseSetAside prometheus.Gauge
	// ConfigLoaded is when the configuration in use was taken into use, and
	// ConfigInUse 1 while the file as it is now is in use.
	ConfigLoaded, ConfigInUse prometheus.Gauge
	// Apps is how many apps there are; 0 means that whoever connects may do
	// everything.
	Apps  prometheus.Gauge
	calls *prometheus.CounterVec
}

// New returns Metrics with those of the Go runtime and of the build.
func New(version string) *Metrics {
	m := &Metrics{
		Registry: daemon.Registry("wxbroker", version),
		DatabaseSetAside: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "wxbroker_database_set_aside",
			Help: "1 when the database was damaged at the start and set aside, until the next start.",
		}),
		ConfigLoaded: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "wxbroker_config_load_timestamp_seconds",
			Help: "When the configuration in use was taken into use, seconds since 1970.",
		}),
		ConfigInUse: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "wxbroker_config_in_use",
			Help: "1 while the configuration file as it is now is in use, 0 after a reload that was refused.",
		}),
		Apps: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "wxbroker_apps",
			Help: "Apps in the configuration; 0 means that whoever can connect may do everything.",
		}),
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wxbroker_wechat_calls_total",
			Help: "Calls made to WeChat, by appid, API and result: ok, WeChat's errcode, or the class of the failure.",
		}, []string{"appid", "api", "result"}),
	}
	m.Registry.MustRegister(m.calls, m.DatabaseSetAside, m.ConfigLoaded, m.ConfigInUse, m.Apps)
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

// Watch makes the accounts, the edges and WeChat's hosts part of what is collected.
func (m *Metrics) Watch(keepers func() []*keeper.Keeper, register *edges.Register, hosts func() []wechat.Upstream) {
	m.Registry.MustRegister(accounts(keepers), connections{register}, upstreams(hosts))
}

func boolean(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
