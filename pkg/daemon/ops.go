package daemon

import (
	"io"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Registry returns a registry with the metrics of the Go runtime, of the
// process, and program_build_info.
func Registry(program, version string) *prometheus.Registry {
	registry := prometheus.NewRegistry()
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: program + "_build_info", Help: "1, labelled with the program's version.",
		ConstLabels: prometheus.Labels{"version": version},
	})
	build.Set(1)
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		build,
	)
	return registry
}

// Probe says what is wrong, nil for nothing.
type Probe func() error

// Ops answers probes and scrapes. GET /healthz says whether the program is stuck and
// has to be restarted, /readyz whether it can be of use now: 200, or 503 with the
// error's text. /metrics shows what is registered. Ops is read-only and must show no
// secret, so it may be plaintext on any address.
func Ops(metrics *prometheus.Registry, healthy, ready Probe) http.Handler {
	routes := map[string]http.Handler{
		"/healthz": healthy.handler("ok", "not healthy: "),
		"/readyz":  ready.handler("ready", "not ready: "),
		"/metrics": promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}),
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		route, ok := routes[r.URL.Path]
		switch {
		case !ok:
			Refuse(w, http.StatusNotFound, "there is nothing at this path: see /healthz, /readyz and /metrics")
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", "GET, HEAD")
			Refuse(w, http.StatusMethodNotAllowed, "this path takes GET")
		default:
			w.Header().Set("Cache-Control", "no-store")
			route.ServeHTTP(w, r)
		}
	})
}

func (p Probe) handler(good, bad string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if err := p(); err != nil {
			Refuse(w, http.StatusServiceUnavailable, bad+err.Error())
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, good+"\n") // fails only when the prober is gone
	})
}
