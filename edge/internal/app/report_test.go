package app

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/pkg/credential"
)

// report says over the edge's listener that WeChat refused value.
func (e *runningEdge) report(value string) (code int, body string) {
	e.t.Helper()
	form := url.Values{"appid": {shop}, "kind": {"access_token"}, "value": {value}}
	r, err := http.NewRequestWithContext(e.t.Context(), http.MethodPost, "http://edge/v1/report", strings.NewReader(form.Encode()))
	if err != nil {
		e.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Authorization", "Bearer k")
	return e.send(e.api, r)
}

// Reports have a connection of their own, which the first report opens.
func TestReport(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fakeBroker) {
		e := startEdge(t, b, "k")
		account := b.account(shop)
		b.say(account)
		token := account.GetCredentials()[0]
		if n := b.dials.Load(); n != 1 {
			t.Errorf("%d connections before the first report", n)
		}
		b.reported.Store(&reportAnswer{versions: credential.Versions{Reported: token.GetVersion(), Current: token.GetVersion()}})
		for range 2 {
			if code, body := e.report(token.GetValue()); code != http.StatusOK || !strings.Contains(body, `"reported_version":946684800000,"current_version":946684800000`) {
				t.Errorf("HTTP %d: %s", code, body)
			}
		}
		b.reported.Store(&reportAnswer{err: status.Error(codes.NotFound, "report: no such value was handed out")})
		if code, body := e.report("another"); code != http.StatusNotFound || !strings.Contains(body, "no such value was handed out") {
			t.Errorf("HTTP %d: %s", code, body)
		}
		if n := b.dials.Load(); n != 2 {
			t.Errorf("%d connections, want one for the stream and one for reports", n)
		}
		if _, body := e.get(e.ops, "/metrics", ""); !strings.Contains(body, `wxedge_http_requests_total{route="/v1/report",status="200"} 2`+"\n") {
			t.Error("the metrics do not count reports")
		}
		e.signsWith("", 1)
	})
}

func TestReportWithoutLocalKeys(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fakeBroker) {
		e := startEdge(t, b, "")
		b.say(b.account(shop))
		if code, body := e.report("anything"); code != http.StatusForbidden || !strings.Contains(body, "--local-key-file") {
			t.Errorf("HTTP %d: %s", code, body)
		}
		if n := b.dials.Load(); n != 1 {
			t.Errorf("%d connections", n)
		}
	})
}

// While the broker is away the edge signs, and says that it cannot report.
func TestReportWhileTheBrokerIsAway(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fakeBroker) {
		e := startEdge(t, b, "k")
		account := b.account(shop)
		b.say(account)
		b.away.Store(true)
		if code, body := e.report(account.GetCredentials()[0].GetValue()); code != http.StatusServiceUnavailable || !strings.Contains(body, "the broker cannot be asked") {
			t.Errorf("HTTP %d: %s", code, body)
		}
		e.signsWith("", 1)
	})
}

// A report that the broker does not answer delays the end of the edge by seconds only.
func TestStopWithAReportUnderWay(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fakeBroker) {
		e := startEdge(t, b, "k")
		b.say(b.account(shop))
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://edge/v1/report?kind=access_token&sha256="+strings.Repeat("00", 32), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer k")
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			if response, err := e.api.Do(r); err == nil {
				response.Body.Close()
			}
		}()
		synctest.Wait()
		stopped := time.Now()
		e.stop()
		if err := <-e.done; err != nil {
			t.Errorf("Run: %v", err)
		}
		e.done <- nil
		<-ended
		if took := time.Since(stopped); took > 10*time.Second {
			t.Errorf("stopping took %v", took)
		}
	})
}
