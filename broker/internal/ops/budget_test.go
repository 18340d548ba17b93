package ops_test

import (
	"crypto/sha256"
	"fmt"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
)

// budget returns the name of a series of an API's budget.
func budget(name, appid string, api wechat.API) string {
	return fmt.Sprintf("wxbroker_budget_%s{api=%q,appid=%q}", name, string(api), appid)
}

func TestMetricsOfTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.run("wx1", "wx2")
		time.Sleep(11 * time.Minute) // the ticket is read again after ten
		want := map[string]string{}
		for _, appid := range []string{"wx1", "wx2"} {
			for api, limit := range map[wechat.API]string{
				wechat.TokenAPI: "2000", wechat.StableTokenAPI: "10000", wechat.ForceRefreshAPI: "20", wechat.TicketAPI: "2000",
				wechat.ProbeAPI: "2000", wechat.QuotaAPI: "1000", wechat.ClearQuotaAPI: "10",
			} {
				want[budget("limit", appid, api)] = limit
				want[budget("used", appid, api)] = "0"
				want[budget("unsaved", appid, api)] = "0"
			}
			want[budget("used", appid, wechat.TokenAPI)] = "1"
			want[budget("used", appid, wechat.TicketAPI)] = "2"
		}
		w.check(want)
		w.mu.Lock()
		w.disk.Fill(true)
		w.mu.Unlock()
		time.Sleep(10 * time.Minute)
		w.check(map[string]string{
			budget("unsaved", "wx1", wechat.TicketAPI): "1",
			budget("unsaved", "wx1", wechat.TokenAPI):  "0", // none was made
			budget("used", "wx1", wechat.TicketAPI):    "3",
		})
		w.mu.Lock()
		w.disk.Fill(false)
		w.mu.Unlock()
		time.Sleep(time.Minute)
		w.check(map[string]string{budget("unsaved", "wx1", wechat.TicketAPI): "0"})
	})
}

// TestMetricsOfEarlyDeaths: every value dies of something else, as the reports
// of an app show.
func TestMetricsOfEarlyDeaths(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.answers["/cgi-bin/get_api_domain_ip"] = `{"errcode":40001,"errmsg":"invalid credential"}`
		keepers := w.run("wx1")
		w.check(map[string]string{of("early_deaths", "wx1", credential.AccessToken): "0", of("early_deaths", "wx1", credential.JSAPITicket): "0"})
		value := accessToken
		for i := range 3 {
			next := fmt.Sprint(accessToken, "-", i)
			w.mu.Lock()
			w.answers["/cgi-bin/token"] = `{"access_token":"` + next + `","expires_in":7200}`
			w.mu.Unlock()
			if _, err := keepers[0].Report(t.Context(), credential.AccessToken, sha256.Sum256([]byte(value))); err != nil {
				t.Fatal(err)
			}
			value = next
			time.Sleep(2 * time.Minute)
		}
		w.check(map[string]string{of("early_deaths", "wx1", credential.AccessToken): "3", of("early_deaths", "wx1", credential.JSAPITicket): "0"})
		time.Sleep(24 * time.Hour)
		w.check(map[string]string{of("early_deaths", "wx1", credential.AccessToken): "0"})
	})
}

// TestMetricsOfUpstreams: exactly one is in use.
func TestMetricsOfUpstreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.wechat.Upstreams = append(w.wechat.Upstreams, &url.URL{Scheme: "http", Host: "127.0.0.1:2"})
		w.answers["/cgi-bin/token"] = "" // a failure of the host's
		w.run("wx1")
		const first, second = `wxbroker_upstream_in_use{host="127.0.0.1:1"}`, `wxbroker_upstream_in_use{host="127.0.0.1:2"}`
		w.check(map[string]string{first: "0", second: "1"})
		w.mu.Lock()
		w.answers["/cgi-bin/token"] = `{"access_token":"` + accessToken + `","expires_in":7200}`
		w.mu.Unlock()
		time.Sleep(6 * time.Minute)
		w.check(map[string]string{first: "1", second: "0"})
	})
}
