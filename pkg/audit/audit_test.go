package audit_test

import (
	"bytes"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/wxbroker/wxbroker/pkg/audit"
)

// withoutTime returns a logger to out whose lines have no time.
func withoutTime(out io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == slog.LevelKey {
			return slog.Attr{}
		}
		return a
	}}))
}

func TestLines(t *testing.T) {
	for _, tt := range []struct {
		name string
		line audit.Line
		want string
	}{
		{
			"more",
			audit.Line{Who: "web", Action: "watch", Outcome: audit.Granted, More: append(audit.Texts("identity", "k8s:shop:web", "edge", "", "appid", "wx1"), slog.Int("status", 200))},
			`msg=audit app=web action=watch outcome=granted identity=k8s:shop:web appid=wx1 status=200`,
		},
		{"little", audit.Line{Action: "status", Outcome: audit.Refused}, `msg=audit app="" action=status outcome=refused`},
		{"what would break a line", audit.Line{Who: "web", Action: "watch", Outcome: audit.Failed, More: audit.Texts("reason", "a\nb \"c\"")}, `msg=audit app=web action=watch outcome=failed reason="a\nb \"c\""`},
		{"a long story", audit.Line{Who: "web", Action: "watch", Outcome: audit.Failed, More: audit.Texts("reason", strings.Repeat("键", 1000))}, `msg=audit app=web action=watch outcome=failed reason=` + strings.Repeat("键", 170) + "…"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			audit.New(withoutTime(&out), "wxtest", "app").Write(t.Context(), tt.line)
			if got := strings.TrimSpace(out.String()); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestCounts(t *testing.T) {
	log := audit.New(slog.New(slog.DiscardHandler), "wxtest", "app")
	for range 3 {
		log.Write(t.Context(), audit.Line{Who: "web", Action: "watch", Outcome: audit.Granted})
	}
	log.Write(t.Context(), audit.Line{Who: "web", Action: "report", Outcome: audit.Refused})
	log.Write(t.Context(), audit.Line{Action: "watch", Outcome: audit.Refused})
	want := `# HELP wxtest_audit_total What was granted and refused, by app (empty for strangers), action and outcome.
# TYPE wxtest_audit_total counter
wxtest_audit_total{action="report",app="web",outcome="refused"} 1
wxtest_audit_total{action="watch",app="",outcome="refused"} 1
wxtest_audit_total{action="watch",app="web",outcome="granted"} 3
`
	if err := testutil.CollectAndCompare(log, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

// TestRefusalsFillNoDisk: all events are counted. Of each app, a limited number of
// refusals is logged; of strangers, a limited number of lines whatever the outcome. What
// an app is granted is always logged.
func TestRefusalsFillNoDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := audit.New(withoutTime(&out), "wxtest", "app")
		lines := func(n int, app string, outcome audit.Outcome) int {
			t.Helper()
			out.Reset()
			for range n {
				log.Write(t.Context(), audit.Line{Who: app, Action: "watch", Outcome: outcome})
			}
			return strings.Count(out.String(), "\n")
		}
		for _, step := range []struct {
			wait      time.Duration
			n         int
			app       string
			outcome   audit.Outcome
			wantLines int
			says      string
		}{
			{0, 1000, "", audit.Refused, 200, ""},
			{0, 1000, "web", audit.Granted, 1000, "suppressed=800"},
			{0, 1000, "web", audit.Refused, 200, ""},
			{0, 1000, "web", audit.Granted, 1000, "suppressed=800"},
			{10 * time.Second, 1000, "", audit.Refused, 10, ""},
			{time.Minute, 1, "", audit.Failed, 1, "suppressed=990"},
			{0, 1, "web", audit.Refused, 1, ""},
			{0, 1000, "", audit.Failed, 59, ""}, // a minute gives back 60, and one is used
			{0, 1000, "", audit.Granted, 0, ""},
			{0, 1000, "", audit.Revoked, 0, ""},
			{0, 1000, "web", audit.Failed, 1000, "suppressed=2941"},
			{0, 1000, "web", audit.Revoked, 1000, ""},
		} {
			time.Sleep(step.wait)
			if got := lines(step.n, step.app, step.outcome); got != step.wantLines {
				t.Errorf("%+v: %d lines", step, got)
			}
			if says := strings.Contains(out.String(), "suppressed"); says != (step.says != "") || !strings.Contains(out.String(), step.says) {
				t.Errorf("%+v: %.200s", step, out.String())
			}
		}
		// The count has what the log leaves out.
		want := `# HELP wxtest_audit_total What was granted and refused, by app (empty for strangers), action and outcome.
# TYPE wxtest_audit_total counter
wxtest_audit_total{action="watch",app="",outcome="failed"} 1001
wxtest_audit_total{action="watch",app="",outcome="granted"} 1000
wxtest_audit_total{action="watch",app="",outcome="refused"} 2000
wxtest_audit_total{action="watch",app="",outcome="revoked"} 1000
wxtest_audit_total{action="watch",app="web",outcome="failed"} 1000
wxtest_audit_total{action="watch",app="web",outcome="granted"} 2000
wxtest_audit_total{action="watch",app="web",outcome="refused"} 1001
wxtest_audit_total{action="watch",app="web",outcome="revoked"} 1000
`
		if err := testutil.CollectAndCompare(log, strings.NewReader(want)); err != nil {
			t.Error(err)
		}
	})
}
