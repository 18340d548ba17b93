package keeper_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

// watchForces notes when a stable token is forced, and leaves the answers to
// the simulator.
func (w *world) watchForces() *[]time.Time {
	var forced []time.Time
	w.wechat.Answer(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), `"force_refresh":true`) {
			forced = append(forced, time.Now())
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		w.sim.ServeHTTP(rw, r)
	})
	return &forced
}

// TestForcedRefreshesAreRationed: WeChat allows 20 a day, 30 s apart, and a
// broker that crashes between any two is no reason for more. The stable token is
// refused again and again here, and WeChat hands the same one out.
func TestForcedRefreshesAreRationed(t *testing.T) {
	for _, restart := range []bool{false, true} {
		name := map[bool]string{false: "running", true: "restarting"}[restart]
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				// WeChat itself refuses nothing: only the broker holds back.
				w := newWorld(t, wechatsim.Settings{ForceQuota: wechatsim.None, ForceInterval: wechatsim.None}, stable)
				forced := w.watchForces()
				untilMidnight()
				w.start(t)
				trouble := func(d, every time.Duration) {
					during(d, every, func(time.Duration) {
						_ = w.sim.KillStuckToken(appid) // it may be dead already
						if restart {
							w.stop()
							w.start(t)
						}
						token, _ := w.get(credential.AccessToken)
						// Whether the value is known to be dead does not matter.
						_, _ = w.keeper.Report(t.Context(), credential.AccessToken, hashOf(token))
					})
				}
				trouble(time.Hour, 10*time.Second)
				if n := len(*forced); n != 15 {
					t.Errorf("%d forced refreshes in an hour, want three quarters of the 20", n)
				}
				trouble(23*time.Hour-10*time.Minute, 10*time.Minute)
				if n := len(*forced); n > 20 || n < 19 {
					t.Errorf("%d forced refreshes in a day, want the 20 to last until its end", n)
				}
				synctest.Wait()
				if n := w.spent(wechat.ForceRefreshAPI).Used; n != len(*forced) {
					t.Errorf("%d of %d forced refreshes are counted", n, len(*forced))
				}
				for i, at := range *forced {
					if i > 0 && at.Sub((*forced)[i-1]) < 30*time.Second {
						t.Errorf("number %d comes %v after the one before", i+1, at.Sub((*forced)[i-1]))
					}
				}
				untilMidnight()
				today := len(*forced)
				trouble(10*time.Minute, 10*time.Second)
				if len(*forced) == today {
					t.Error("none on the next day")
				}
			})
		})
	}
}
