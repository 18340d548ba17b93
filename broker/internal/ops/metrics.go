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

// Watch makes the accounts and the edges part of what is collected.
func (m *Metrics) Watch(keepers []*keeper.Keeper, edges *rpc.Edges) {
	m.Registry.MustRegister(accounts(keepers), connections{edges})
}

var (
	credentialLabels = []string{"appid", "kind"}

	versionDesc = prometheus.NewDesc("wxbroker_credential_version",
		"Version of the current credential: when it was minted, milliseconds since 1970; 0 while there is none.", credentialLabels, nil)
	expiryDesc = prometheus.NewDesc("wxbroker_credential_expiry_timestamp_seconds",
		"When the current credential hard-expires, seconds since 1970; absent while there is none.", credentialLabels, nil)
	nextCallDesc = prometheus.NewDesc("wxbroker_credential_next_call_timestamp_seconds",
		"When WeChat is called next for the credential, seconds since 1970.", credentialLabels, nil)
	unsavedDesc = prometheus.NewDesc("wxbroker_credential_unsaved",
		"1 while the current credential could not be written to the database.", credentialLabels, nil)
	failingDesc = prometheus.NewDesc("wxbroker_credential_failing",
		"1 while WeChat calls for the credential fail, labelled with the class of the last failure.", append(credentialLabels, "class"), nil)
)

// accounts collects what the keepers report.
type accounts []*keeper.Keeper

func (accounts) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{versionDesc, expiryDesc, nextCallDesc, unsavedDesc, failingDesc} {
		descs <- d
	}
}

func (a accounts) Collect(metrics chan<- prometheus.Metric) {
	for _, k := range a {
		status := k.Status()
		for _, s := range status.Kinds {
			gauge := func(desc *prometheus.Desc, value float64, more ...string) {
				labels := append([]string{status.AppID, string(s.Kind)}, more...)
				metrics <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
			}
			gauge(versionDesc, float64(s.Version))
			if !s.Expiry.IsZero() {
				gauge(expiryDesc, float64(s.Expiry.UnixMilli())/1000)
			}
			if !s.NextTry.IsZero() {
				gauge(nextCallDesc, float64(s.NextTry.UnixMilli())/1000)
			}
			gauge(unsavedDesc, boolean(s.Unsaved))
			for _, class := range wechat.Classes() {
				gauge(failingDesc, boolean(s.LastError != nil && s.LastError.Class == class), string(class))
			}
		}
	}
}

func boolean(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

var (
	edgesDesc = prometheus.NewDesc("wxbroker_edges",
		"Edges with an open stream.", nil, nil)
	behindDesc = prometheus.NewDesc("wxbroker_edges_behind",
		"Edges with an open stream that have not acknowledged the current version of every credential they may have.", nil, nil)
)

// connections collects what the edges acknowledged.
type connections struct{ edges *rpc.Edges }

func (connections) Describe(descs chan<- *prometheus.Desc) {
	descs <- edgesDesc
	descs <- behindDesc
}

func (c connections) Collect(metrics chan<- prometheus.Metric) {
	open := c.edges.List()
	behind := 0
	for _, edge := range open {
		if len(edge.Behind()) > 0 {
			behind++
		}
	}
	metrics <- prometheus.MustNewConstMetric(edgesDesc, prometheus.GaugeValue, float64(len(open)))
	metrics <- prometheus.MustNewConstMetric(behindDesc, prometheus.GaugeValue, float64(behind))
}
