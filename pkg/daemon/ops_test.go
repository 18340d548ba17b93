package daemon_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
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
	var trouble error
	ops := daemon.Ops(metrics, func() error { return trouble })
	isNotReady := errors.New("no live ticket for wx1")

	for _, tt := range []struct {
		name, method, path string
		ready              error
		status             int
		body               string // is part of it
	}{
		{"alive", http.MethodGet, "/healthz", nil, http.StatusOK, "ok"},
		{"alive though not ready", http.MethodGet, "/healthz", isNotReady, http.StatusOK, "ok"},
		{"ready", http.MethodGet, "/readyz", nil, http.StatusOK, "ready"},
		{"not ready", http.MethodGet, "/readyz", isNotReady, http.StatusServiceUnavailable, "no live ticket for wx1"},
		{"metrics", http.MethodGet, "/metrics", nil, http.StatusOK, "\nwx_test 42\n"},
		{"metrics though not ready", http.MethodGet, "/metrics", isNotReady, http.StatusOK, "\nwx_test 42\n"},
		{"HEAD is a GET", http.MethodHead, "/readyz", isNotReady, http.StatusServiceUnavailable, ""},
		{"POST healthz", http.MethodPost, "/healthz", nil, http.StatusMethodNotAllowed, ""},
		{"PUT readyz", http.MethodPut, "/readyz", nil, http.StatusMethodNotAllowed, ""},
		{"DELETE metrics", http.MethodDelete, "/metrics", nil, http.StatusMethodNotAllowed, ""},
		{"nothing else", http.MethodGet, "/", nil, http.StatusNotFound, ""},
		{"nothing below", http.MethodGet, "/healthz/x", nil, http.StatusNotFound, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			trouble = tt.ready
			rec := httptest.NewRecorder()
			ops.ServeHTTP(rec, httptest.NewRequest(tt.method, tt.path, nil))
			if rec.Code != tt.status || !strings.Contains(rec.Body.String(), tt.body) {
				t.Errorf("got %d %q, want %d with %q", rec.Code, rec.Body, tt.status, tt.body)
			}
			// A cached probe would answer for a program that is gone.
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

func TestLogger(t *testing.T) {
	levels := []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}
	for i, level := range []string{"debug", "info", "warn", "error"} {
		for _, format := range []string{"text", "json"} {
			t.Run(level+" "+format, func(t *testing.T) {
				var out bytes.Buffer
				log := daemon.LogFlags{LogLevel: level, LogFormat: format}.Logger(&out)
				for _, l := range levels {
					log.Log(t.Context(), l, "said", "at", l.String())
				}
				lines := strings.Split(strings.TrimSpace(out.String()), "\n")
				if want := len(levels) - i; len(lines) != want {
					t.Fatalf("got %d lines, want %d:\n%s", len(lines), want, &out)
				}
				for _, line := range lines {
					if json.Valid([]byte(line)) != (format == "json") {
						t.Errorf("not %s: %s", format, line)
					}
				}
				if !strings.Contains(lines[0], "said") || !strings.Contains(lines[0], levels[i].String()) {
					t.Errorf("the first line is %s", lines[0])
				}
			})
		}
	}
}

func TestVersion(t *testing.T) {
	if got := daemon.Version("v1.2.3"); got != "v1.2.3" {
		t.Errorf("what was linked in is not the version, but %q", got)
	}
	// What the toolchain knows of a test binary differs; it is never nothing.
	if got := daemon.Version(""); got == "" || got == "(devel)" {
		t.Errorf("the version is %q", got)
	}
}
