package tlsfile

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Expiry returns when the current certificate expires, and when the first of the CAs
// expires. The time is zero if there is no certificate, or no CA.
func (s *Source) Expiry() (certificate, authority time.Time) {
	m := s.current.Load()
	if m.pair != nil {
		certificate = m.pair.Leaf.NotAfter
	}
	for _, cert := range m.authorities {
		if authority.IsZero() || cert.NotAfter.Before(authority) {
			authority = cert.NotAfter
		}
	}
	return certificate, authority
}

// Collector returns a collector of metrics that show Expiry to Prometheus:
//
//	<program>_tls_certificate_expiry_timestamp_seconds{use}
//	<program>_tls_ca_expiry_timestamp_seconds{use}
//
// A metric is absent if there is no certificate, or no CA. The label says what the
// program uses this source for, since it may have several sources.
func (s *Source) Collector(program, use string) prometheus.Collector {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(program+name, help, nil, prometheus.Labels{"use": use})
	}
	return expiries{
		source:      s,
		certificate: desc("_tls_certificate_expiry_timestamp_seconds", "When the TLS certificate in use expires, seconds since 1970."),
		authority:   desc("_tls_ca_expiry_timestamp_seconds", "When the first of the TLS CAs in use expires, seconds since 1970."),
	}
}

// expiries collects when the certificate and the CAs of a source expire.
type expiries struct {
	source                 *Source
	certificate, authority *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (e expiries) Describe(descs chan<- *prometheus.Desc) {
	descs <- e.certificate
	descs <- e.authority
}

// Collect implements prometheus.Collector.
func (e expiries) Collect(metrics chan<- prometheus.Metric) {
	certificate, authority := e.source.Expiry()
	for desc, at := range map[*prometheus.Desc]time.Time{e.certificate: certificate, e.authority: authority} {
		if !at.IsZero() {
			metrics <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(at.Unix()))
		}
	}
}
