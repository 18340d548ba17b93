package e2e

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/broker/brokertest"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

// TestMonth: thirty days of rotations, reconnections and acknowledgements leave nothing
// behind. After them the live heap is as large as after one day, within a twentieth, and
// as many goroutines run.
func TestMonth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, wechatsim.Settings{}, brokertest.Account{Classic: true})
		fillMemory(t, w.sim)
		w.startBroker(t)
		w.startEdges(t, 2)
		heap, goroutines := live(t, w, 24*time.Hour)
		lastHeap, lastGoroutines := live(t, w, 29*24*time.Hour)
		t.Logf("live heap %d KiB after a day, %d KiB after thirty; goroutines %d and %d", heap>>10, lastHeap>>10, goroutines, lastGoroutines)
		if lastHeap > heap+heap/20 {
			t.Errorf("the live heap grew from %d to %d bytes", heap, lastHeap)
		}
		if lastGoroutines != goroutines {
			t.Errorf("%d goroutines became %d", goroutines, lastGoroutines)
		}
	})
}

// live lets d pass, and returns the live heap and the number of goroutines.
func live(t *testing.T, w *world, d time.Duration) (heap uint64, goroutines int) {
	t.Helper()
	for range d / time.Hour {
		pass(time.Hour)
		w.allSign(t, "every hour")
	}
	runtime.GC()
	runtime.GC() // once more, for what the finalizers of the first have freed
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc, runtime.NumGoroutine()
}

// fillMemory gives the simulated WeChat as many values as it ever remembers, so that the
// judge itself does not grow.
func fillMemory(t *testing.T, sim *wechatsim.Sim) {
	t.Helper()
	ask := func(path string, query url.Values) (answer struct {
		AccessToken string `json:"access_token"`
		Ticket      string
	},
	) {
		rec := httptest.NewRecorder()
		sim.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path+"?"+query.Encode(), nil))
		if err := json.Unmarshal(rec.Body.Bytes(), &answer); err != nil {
			t.Fatal(err)
		}
		return answer
	}
	for range 300 {
		token := ask(wechatsim.PathToken, url.Values{"grant_type": {"client_credential"}, "appid": {appid}, "secret": {secret}}).AccessToken
		ticket := ask(wechatsim.PathTicket, url.Values{"access_token": {token}, "type": {"jsapi"}}).Ticket
		if token == "" || ticket == "" {
			t.Fatal("WeChat gives nothing")
		}
		if err := sim.KillTicket(appid, wechatsim.JSAPI); err != nil {
			t.Fatal(err)
		}
		pass(5 * time.Minute) // the one before is dead then, and may be forgotten
	}
	pass(24 * time.Hour) // and the calls do not count against today's
}
