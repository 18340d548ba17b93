// Package ops shows the edge to its operator as Prometheus metrics. Nothing
// here holds a secret. docs/operations.md lists every metric.
package ops

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wxbroker/wxbroker/edge/internal/signing"
	"github.com/wxbroker/wxbroker/pkg/daemon"
)

// Metrics collects the edge's metrics.
type Metrics struct {
	// Registry has everything that is collected.
	Registry *prometheus.Registry
	requests *prometheus.CounterVec
}

// New returns Metrics of the Go runtime, of the build, of what state holds, and of
// whether the broker's stream is open.
func New(version string, state *signing.State, connected func() bool) *Metrics {
	m := &Metrics{
		Registry: daemon.Registry("wxedge", version),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wxedge_http_requests_total",
			Help: "Requests answered, by route and HTTP status.",
		}, []string{"route", "status"}),
	}
	m.Registry.MustRegister(
		m.requests, heldCollector{state},
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "wxedge_broker_connected", Help: "1 while the broker's stream is open and has brought a state.",
		}, func() float64 {
			if connected() {
				return 1
			}
			return 0
		}),
	)
	return m
}

// Answered counts a request.
func (m *Metrics) Answered(route string, status int) {
	m.requests.WithLabelValues(route, strconv.Itoa(status)).Inc()
}

var (
	labels = []string{"appid", "kind"}

	versionDesc = prometheus.NewDesc("wxedge_credential_version",
		"Version of the credential held: when the broker minted it, milliseconds since 1970.", labels, nil)
	expiryDesc = prometheus.NewDesc("wxedge_credential_expiry_timestamp_seconds",
		"When the credential held hard-expires by this machine's clock, seconds since 1970.", labels, nil)
)

// heldCollector collects the credentials that the edge holds.
type heldCollector struct{ state *signing.State }

func (heldCollector) Describe(descs chan<- *prometheus.Desc) {
	descs <- versionDesc
	descs <- expiryDesc
}

func (h heldCollector) Collect(metrics chan<- prometheus.Metric) {
	for _, a := range h.state.Accounts() {
		for _, c := range a.Credentials {
			gauge := func(desc *prometheus.Desc, value float64) {
				metrics <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, a.AppID, string(c.Kind))
			}
			gauge(versionDesc, float64(c.Version))
			gauge(expiryDesc, float64(c.Expiry.Wall().UnixMilli())/1000)
		}
	}
}
