package audit_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/wxbroker/wxbroker/edge/internal/audit"
	"github.com/wxbroker/wxbroker/pkg/credential"
)

// journal is a Log and what it wrote.
type journal struct {
	audit.Log
	t   *testing.T
	out bytes.Buffer
}

func newJournal(t *testing.T) *journal {
	t.Helper()
	j := &journal{t: t}
	j.Log = audit.New(slog.New(slog.NewJSONHandler(&j.out, nil)))
	return j
}

// lines returns what was written since the last call.
func (j *journal) lines() []map[string]any {
	j.t.Helper()
	defer j.out.Reset()
	var lines []map[string]any
	for raw := range strings.Lines(j.out.String()) {
		var line map[string]any
		if err := json.Unmarshal([]byte(raw), &line); err != nil {
			j.t.Fatal(err)
		}
		lines = append(lines, line)
	}
	return lines
}

// counted returns the counters, by "local_key action outcome".
func (j *journal) counted() map[string]float64 {
	j.t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(j.Log)
	families, err := registry.Gather()
	if err != nil {
		j.t.Fatal(err)
	}
	if problems, err := promlint.NewWithMetricFamilies(families).Lint(); err != nil || len(problems) > 0 {
		j.t.Errorf("%v, %v", problems, err)
	}
	counts := make(map[string]float64)
	for _, family := range families {
		if family.GetName() != "wxedge_audit_total" {
			j.t.Errorf("the metric %s", family.GetName())
		}
		for _, m := range family.GetMetric() {
			labels := make(map[string]string)
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			counts[labels["local_key"]+" "+labels["action"]+" "+labels["outcome"]] = m.GetCounter().GetValue()
		}
	}
	return counts
}

func TestEntry(t *testing.T) {
	for _, tt := range []struct {
		name    string
		entry   audit.Entry
		outcome string
	}{
		{"handed out", audit.Entry{LocalKey: "billing", Action: audit.Token, AppID: "wx1", Kind: credential.AccessToken, Status: http.StatusOK, Address: "192.0.2.1:4711"}, "granted"},
		{"refused", audit.Entry{Action: audit.Ticket, Kind: credential.JSAPITicket, Status: http.StatusUnauthorized, Address: "192.0.2.1:4711", Reason: "no key"}, "refused"},
		{"too many reports", audit.Entry{LocalKey: "店铺", Action: audit.Report, AppID: "wx1", Kind: credential.WXCardTicket, Status: http.StatusTooManyRequests, Address: "@", Reason: "too many"}, "refused"},
		{"a call", audit.Entry{LocalKey: audit.SharedToken, Action: audit.Call, AppID: "wx1", Path: "/cgi-bin/user/get", Status: http.StatusOK}, "granted"},
		{"there is none", audit.Entry{LocalKey: "billing", Action: audit.Token, AppID: "wx1", Kind: credential.AccessToken, Status: http.StatusServiceUnavailable, Reason: "expired"}, "failed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			j := newJournal(t)
			j.Write(tt.entry)
			lines := j.lines()
			if len(lines) != 1 {
				t.Fatalf("%d lines", len(lines))
			}
			want := map[string]any{
				"level": "INFO", "msg": "audit", "local_key": tt.entry.LocalKey, "action": string(tt.entry.Action), "appid": tt.entry.AppID,
				"kind": string(tt.entry.Kind), "outcome": tt.outcome, "status": float64(tt.entry.Status), "address": tt.entry.Address,
			}
			if tt.entry.Reason != "" {
				want["reason"] = tt.entry.Reason
			}
			if tt.entry.Path != "" {
				want["path"] = tt.entry.Path
			}
			delete(lines[0], "time")
			if len(lines[0]) != len(want) {
				t.Errorf("logged %v", lines[0])
			}
			for key, value := range want {
				if lines[0][key] != value {
					t.Errorf("%s is %v, want %v", key, lines[0][key], value)
				}
			}
			if counts := j.counted(); len(counts) != 1 || counts[tt.entry.LocalKey+" "+string(tt.entry.Action)+" "+tt.outcome] != 1 {
				t.Errorf("counted %v", counts)
			}
		})
	}
}
