package app

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

// probe asks the ops listener.
func (s *site) probe(path string) (status int, body string) {
	s.t.Helper()
	response, err := s.opsClient().Get("http://broker" + path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return response.StatusCode, string(raw)
}

// TestAKeeperThatIsStuck makes the broker sick, whatever the cause: the broker has to
// be started anew. A keeper that waits for WeChat does not.
func TestAKeeperThatIsStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startSite(t, false, "wx1", "wx2")
		if err := s.sim.Inject(wechatsim.Fault{Kind: wechatsim.FaultHang}); err != nil {
			t.Fatal(err)
		}
		for range 60 {
			time.Sleep(5 * time.Minute)
			synctest.Wait()
			if status, body := s.probe("/healthz"); status != http.StatusOK {
				t.Fatalf("WeChat does not answer: %d %s", status, body)
			}
		}
		s.sim.ClearFaults()
		time.Sleep(10 * time.Minute)

		stuck := make(chan struct{})
		kept := s.app.accounts.snapshot()["wx2"]
		kept.mu.Lock()
		publish := kept.publish
		kept.publish = func(state credential.Account) { <-stuck; publish(state) }
		kept.mu.Unlock()
		defer close(stuck)
		still := func() time.Duration { return time.Since(s.app.accounts.keeper("wx2").Turned()) }
		for still() <= 3*time.Minute {
			if status, body := s.probe("/healthz"); status != http.StatusOK {
				t.Fatalf("after %v: %d %s", still(), status, body)
			}
			time.Sleep(10 * time.Second)
		}
		if status, body := s.probe("/healthz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "the keeper of wx2 has not turned for 3m") || strings.Contains(body, "wx1") {
			t.Fatalf("after %v: %d %s", still(), status, body)
		}
		if status, body := s.probe("/readyz"); status != http.StatusOK {
			t.Errorf("streams are served all the same: %d %s", status, body)
		}
		stuck <- struct{}{}
		time.Sleep(time.Second)
		synctest.Wait()
		if status, body := s.probe("/healthz"); status != http.StatusOK {
			t.Errorf("it goes on: %d %s", status, body)
		}
		s.end()
	})
}
