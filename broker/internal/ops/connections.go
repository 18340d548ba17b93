package ops

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/wxbroker/wxbroker/broker/internal/edges"
	"github.com/wxbroker/wxbroker/broker/internal/wechat"
)

var (
	edgesDesc = prometheus.NewDesc("wxbroker_edges",
		"Edges with an open stream.", nil, nil)
	behindDesc = prometheus.NewDesc("wxbroker_edges_behind",
		"Edges with an open stream that have not acknowledged the current version of every credential they may have.", nil, nil)
)

// connections collects what the edges acknowledged.
type connections struct{ register *edges.Register }

func (connections) Describe(descs chan<- *prometheus.Desc) {
	descs <- edgesDesc
	descs <- behindDesc
}

func (c connections) Collect(metrics chan<- prometheus.Metric) {
	open := c.register.List()
	behind := 0
	for _, edge := range open {
		if len(edge.Behind()) > 0 {
			behind++
		}
	}
	metrics <- prometheus.MustNewConstMetric(edgesDesc, prometheus.GaugeValue, float64(len(open)))
	metrics <- prometheus.MustNewConstMetric(behindDesc, prometheus.GaugeValue, float64(behind))
}

var upstreamDesc = prometheus.NewDesc("wxbroker_upstream_in_use",
	"1 for the host of WeChat's that the next call goes to, 0 for the others.", []string{"host"}, nil)

// upstreams collects which host is in use.
type upstreams func() []wechat.Upstream

func (upstreams) Describe(descs chan<- *prometheus.Desc) { descs <- upstreamDesc }

func (u upstreams) Collect(metrics chan<- prometheus.Metric) {
	for _, host := range u() {
		metrics <- prometheus.MustNewConstMetric(upstreamDesc, prometheus.GaugeValue, boolean(host.InUse), host.Host)
	}
}
