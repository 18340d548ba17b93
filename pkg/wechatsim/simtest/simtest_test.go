package simtest_test

import (
	"io"
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/wxbroker/wxbroker/pkg/wechatsim"
	"github.com/wxbroker/wxbroker/pkg/wechatsim/simtest"
)

func TestServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := wechatsim.New(wechatsim.Config{})
		server := simtest.Serve(t, sim)
		client := &http.Client{Transport: &http.Transport{DialContext: server.Dial, DisableKeepAlives: true}}
		get := func() (status int, body string) {
			t.Helper()
			answer, err := client.Get("http://wechat.invalid" + wechatsim.PathToken)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			raw, err := io.ReadAll(answer.Body)
			if err != nil {
				t.Fatal(err)
			}
			return answer.StatusCode, string(raw)
		}
		asked := func() int { return sim.Count(wechatsim.Call{API: wechatsim.PathToken}) }
		if get(); asked() != 1 {
			t.Errorf("the simulator saw %d calls", asked())
		}
		server.Answer(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "busy", http.StatusBadGateway) })
		if status, body := get(); status != http.StatusBadGateway || body != "busy\n" || asked() != 1 {
			t.Errorf("in its place HTTP %d: %q, the simulator saw %d calls", status, body, asked())
		}
		server.Answer(nil)
		if get(); asked() != 2 {
			t.Errorf("again in its place it saw %d calls", asked())
		}
	})
}
