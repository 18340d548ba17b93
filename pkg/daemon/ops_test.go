package daemon_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wxbroker/wxbroker/pkg/daemon"
)

func TestOps(t *testing.T) {
	metrics := prometheus.NewRegistry()
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{Name: "wx_test", Help: "For this test."})
	gauge.Set(42)
	metrics.MustRegister(gauge)
	var sick, trouble error
	ops := daemon.Ops(metrics, func() error { return sick }, func() error { return trouble })
	isNotReady, isSick := errors.New("no live ticket for wx1"), errors.New("the keeper of wx1 is stuck")

	for _, tt := range []struct {
		name, method, path string
		healthy, ready     error
		status             int
		body               string // is part of it
	}{
		{"alive", http.MethodGet, "/healthz", nil, nil, http.StatusOK, "ok"},
		{"alive though not ready", http.MethodGet, "/healthz", nil, isNotReady, http.StatusOK, "ok"},
		{"sick", http.MethodGet, "/healthz", isSick, nil, http.StatusServiceUnavailable, "the keeper of wx1 is stuck"},
		{"sick and ready", http.MethodGet, "/readyz", isSick, nil, http.StatusOK, "ready"},
		{"metrics though sick", http.MethodGet, "/metrics", isSick, nil, http.StatusOK, "\nwx_test 42\n"},
		{"ready", http.MethodGet, "/readyz", nil, nil, http.StatusOK, "ready"},
		{"not ready", http.MethodGet, "/readyz", nil, isNotReady, http.StatusServiceUnavailable, "no live ticket for wx1"},
		{"metrics", http.MethodGet, "/metrics", nil, nil, http.StatusOK, "\nwx_test 42\n"},
		{"metrics though not ready", http.MethodGet, "/metrics", nil, isNotReady, http.StatusOK, "\nwx_test 42\n"},
		{"HEAD is a GET", http.MethodHead, "/readyz", nil, isNotReady, http.StatusServiceUnavailable, ""},
		{"POST healthz", http.MethodPost, "/healthz", nil, nil, http.StatusMethodNotAllowed, ""},
		{"PUT readyz", http.MethodPut, "/readyz", nil, nil, http.StatusMethodNotAllowed, ""},
		{"DELETE metrics", http.MethodDelete, "/metrics", nil, nil, http.StatusMethodNotAllowed, ""},
		{"nothing else", http.MethodGet, "/", nil, nil, http.StatusNotFound, ""},
		{"nothing below", http.MethodGet, "/healthz/x", nil, nil, http.StatusNotFound, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sick, trouble = tt.healthy, tt.ready
			rec := httptest.NewRecorder()
			ops.ServeHTTP(rec, httptest.NewRequest(tt.method, tt.path, nil))
			if rec.Code != tt.status || !strings.Contains(rec.Body.String(), tt.body) {
				t.Errorf("got %d %q, want %d with %q", rec.Code, rec.Body, tt.status, tt.body)
			}
			// A cached answer would speak for a program that is gone.
			if got := rec.Header().Get("Cache-Control"); got != "no-store" {
				t.Errorf("Cache-Control is %q", got)
			}
			if rec.Code == http.StatusOK {
				return
			}
			var refusal daemon.Refusal
			if err := json.Unmarshal(rec.Body.Bytes(), &refusal); err != nil || refusal.ErrCode != tt.status || refusal.ErrMsg == "" {
				t.Errorf("the error is %s, %v", rec.Body, err)
			}
		})
	}
}

func TestVersion(t *testing.T) {
	if got := daemon.Version("v1.2.3"); got != "v1.2.3" {
		t.Errorf("what was linked in is not the version, but %q", got)
	}
	// What the toolchain knows of a test binary differs, but it is never empty.
	if got := daemon.Version(""); got == "" || got == "(devel)" {
		t.Errorf("the version is %q", got)
	}
}
