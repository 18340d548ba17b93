package tlsfile

import (
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/wxbroker/wxbroker/pkg/tlstest"
)

func TestExpiry(t *testing.T) {
	authority := tlstest.NewCA(t, "ours")
	shorter := tlstest.NewCA(t, "shorter", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(48 * time.Hour) })
	pair := authority.Issue(t)

	certificate, ca := load(t, lay(t, pair, authority, shorter)).Expiry()
	if !certificate.Equal(pair.Leaf.NotAfter) || !ca.Equal(shorter.Cert.NotAfter) {
		t.Errorf("got %v and %v", certificate, ca)
	}
	if certificate, ca := load(t, lay(t, pair)).Expiry(); certificate.IsZero() || !ca.IsZero() {
		t.Errorf("without CAs: %v and %v", certificate, ca)
	}
	if certificate, ca := load(t, lay(t, tlstest.Pair{}, authority)).Expiry(); !certificate.IsZero() || ca.IsZero() {
		t.Errorf("without a certificate: %v and %v", certificate, ca)
	}
}

// gathered returns what a registry has, each as its last line of text.
func gathered(t *testing.T, registry *prometheus.Registry) []string {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if problems, err := promlint.NewWithMetricFamilies(families).Lint(); err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
	var lines []string
	for _, family := range families {
		for _, m := range family.GetMetric() {
			lines = append(lines, fmt.Sprintf("%s{%s} %.0f", family.GetName(), m.GetLabel()[0].GetValue(), m.GetGauge().GetValue()))
		}
	}
	slices.Sort(lines)
	return lines
}

// TestCollector: a program has several sources, and shows for each only what that
// source has.
func TestCollector(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		authority := tlstest.NewCA(t, "ours")
		pair := authority.Issue(t)
		files := lay(t, pair)
		listen, broker := load(t, files), load(t, lay(t, tlstest.Pair{}, authority))
		registry := prometheus.NewPedanticRegistry()
		registry.MustRegister(
			listen.Collector("wxedge", "listen"), broker.Collector("wxedge", "broker"), load(t, Files{}).Collector("wxedge", "none"),
		)
		run(t, listen)
		check := func(pair tlstest.Pair) {
			t.Helper()
			want := []string{
				fmt.Sprintf("wxedge_tls_ca_expiry_timestamp_seconds{broker} %d", authority.Cert.NotAfter.Unix()),
				fmt.Sprintf("wxedge_tls_certificate_expiry_timestamp_seconds{listen} %d", pair.Leaf.NotAfter.Unix()),
			}
			if got := gathered(t, registry); !slices.Equal(got, want) {
				t.Errorf("got %s, want %s", strings.Join(got, ", "), strings.Join(want, ", "))
			}
		}
		check(pair)
		renewed := authority.Issue(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(72 * time.Hour) })
		write(t, files.Cert, renewed.Cert)
		write(t, files.Key, renewed.Key)
		pass(settled)
		check(renewed)
	})
}
