package audit_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/wxbroker/wxbroker/pkg/audit"
	"github.com/wxbroker/wxbroker/pkg/logqueue"
)

// disk takes the log. It can be full.
type disk struct {
	full bool
	out  bytes.Buffer
}

func (d *disk) Write(p []byte) (int, error) {
	if d.full {
		return 0, errors.New("no space left on device")
	}
	return d.out.Write(p)
}

// TestLostLines: lost lines are counted exactly. The next line that gets through tells of
// them, and also of the lines that a lost line would have told of.
func TestLostLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := new(disk)
		queue := logqueue.New("wxtest", d)
		defer queue.Close()
		log := audit.New(queue.Logger(func(w io.Writer) slog.Handler { return withoutTime(w).Handler() }), "wxtest", "app")
		write := func(n int, app, action string, outcome audit.Outcome) {
			for range n {
				log.Write(t.Context(), audit.Line{Who: app, Action: action, Outcome: outcome})
				synctest.Wait()
			}
		}
		d.full = true
		write(3, "web", "watch", audit.Granted)
		write(201, "", "watch", audit.Refused) // one of them is suppressed
		write(2, "shop", "call", audit.Failed)
		d.full = false
		write(1, "web", "token", audit.Granted)
		write(1, "web", "token", audit.Granted)
		want := "msg=audit app=web action=token outcome=granted suppressed=1 lost./watch/refused=200 lost.shop/call/failed=2 lost.web/watch/granted=3\n" +
			"msg=audit app=web action=token outcome=granted\n"
		if got := d.out.String(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		metrics := `# HELP wxtest_audit_lines_lost_total Audit lines that were lost because nobody read the log, by app (empty for strangers), action and outcome.
# TYPE wxtest_audit_lines_lost_total counter
wxtest_audit_lines_lost_total{action="call",app="shop",outcome="failed"} 2
wxtest_audit_lines_lost_total{action="watch",app="",outcome="refused"} 200
wxtest_audit_lines_lost_total{action="watch",app="web",outcome="granted"} 3
# HELP wxtest_audit_total What was granted and refused, by app (empty for strangers), action and outcome.
# TYPE wxtest_audit_total counter
wxtest_audit_total{action="call",app="shop",outcome="failed"} 2
wxtest_audit_total{action="token",app="web",outcome="granted"} 2
wxtest_audit_total{action="watch",app="",outcome="refused"} 201
wxtest_audit_total{action="watch",app="web",outcome="granted"} 3
`
		if err := testutil.CollectAndCompare(log, strings.NewReader(metrics)); err != nil {
			t.Error(err)
		}
	})
}
