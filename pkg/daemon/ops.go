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

// Ops answers probes and scrapes: GET /healthz says that the program runs,
// /readyz what ready says (nil is 200, an error 503 with its text), /metrics
// what is registered. It is read-only and must show no secret, so it may be
// plaintext on any address.
func Ops(metrics *prometheus.Registry, ready func() error) http.Handler {
	routes := map[string]http.Handler{
		"/healthz": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { say(w, "ok") }),
		"/readyz": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if err := ready(); err != nil {
				Refuse(w, http.StatusServiceUnavailable, "not ready: "+err.Error())
				return
			}
			say(w, "ready")
		}),
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

func say(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, text+"\n") // a prober that went away is not our trouble
}
