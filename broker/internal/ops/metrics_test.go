package ops_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/wxbroker/wxbroker/broker/internal/edges"
	"github.com/wxbroker/wxbroker/broker/internal/keeper"
	"github.com/wxbroker/wxbroker/broker/internal/ops"
	"github.com/wxbroker/wxbroker/broker/internal/snapshot"
	"github.com/wxbroker/wxbroker/broker/internal/store/storetest"
	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/daemon"
	"github.com/wxbroker/wxbroker/pkg/wechatsim/simtest"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

// Secrets that must not be seen. The fake WeChat puts them into its errors too.
const (
	appSecret   = "hidden-appsecret"
	accessToken = "hidden-token"
	jsapiTicket = "hidden-ticket"
)

// world is a broker's accounts in fake time, with a WeChat and a disk that a
// test can break.
type world struct {
	t       *testing.T
	metrics *ops.Metrics
	edges   edges.Register
	taken   int // how many snapshots
	wechat  wechat.Options

	mu      sync.Mutex
	answers map[string]string // by path
	disk    storetest.Disk
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, metrics: ops.New("v1.2.3"), answers: map[string]string{
		"/cgi-bin/token":            `{"access_token":"` + accessToken + `","expires_in":7200}`,
		"/cgi-bin/ticket/getticket": `{"errcode":0,"errmsg":"ok","ticket":"` + jsapiTicket + `","expires_in":7200}`,
	}}
	server := simtest.Serve(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		defer w.mu.Unlock()
		_, _ = io.WriteString(rw, w.answers[r.URL.Path])
	}))
	w.wechat = wechat.Options{
		Upstreams: []*url.URL{{Scheme: "http", Host: "127.0.0.1:1"}},
		Dial:      server.Dial,
		Done:      w.metrics.Called,
	}
	return w
}

// run keeps accounts until the test ends.
func (w *world) run(appids ...string) []*keeper.Keeper {
	w.t.Helper()
	client := wechat.New(w.wechat)
	ctx, cancel := context.WithCancel(w.t.Context())
	var running sync.WaitGroup
	var keepers []*keeper.Keeper
	for _, appid := range appids {
		k := keeper.New(w.t.Context(), keeper.Options{
			Account: wechat.Account{AppID: appid, Secret: credential.NewSecret(appSecret)},
			Tickets: []credential.Kind{credential.JSAPITicket},
			WeChat:  client, Store: w.disk.Writer(), Publish: func(credential.Account) {},
			Clock: credential.WallClock, Log: slog.New(slog.DiscardHandler),
		})
		keepers = append(keepers, k)
		running.Go(func() { k.Run(ctx) })
	}
	w.t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	w.metrics.Watch(&snapshot.Source{
		Clock: credential.WallClock, Edges: &w.edges, Upstreams: client.Upstreams,
		Keepers: func() []*keeper.Keeper {
			w.taken++
			return keepers
		},
		Configuration: func() snapshot.Configuration { return snapshot.Configuration{} },
	})
	return keepers
}

// series returns what a scrape shows under our own names, by series, and the
// whole text.
func (w *world) series() (series map[string]string, page string) {
	w.t.Helper()
	synctest.Wait()
	rec := httptest.NewRecorder()
	daemon.Ops(w.metrics.Registry, nil, nil).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if rec.Code != http.StatusOK {
		w.t.Fatalf("the scrape failed: %s", rec.Body)
	}
	page = rec.Body.String()
	series = map[string]string{}
	for lines := bufio.NewScanner(strings.NewReader(page)); lines.Scan(); {
		if i := strings.LastIndexByte(lines.Text(), ' '); strings.HasPrefix(lines.Text(), "wxbroker_") {
			series[lines.Text()[:i]] = lines.Text()[i+1:]
		}
	}
	return series, page
}

// check checks the values of some series; "" means that there is none.
func (w *world) check(want map[string]string) {
	w.t.Helper()
	got, _ := w.series()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if got[name] != want[name] {
			w.t.Errorf("%s is %q, want %q", name, got[name], want[name])
		}
	}
}

// of returns the name of an account's series of a kind.
func of(name, appid string, kind credential.Kind) string {
	return fmt.Sprintf("wxbroker_credential_%s{appid=%q,kind=%q}", name, appid, kind)
}

// failing returns the name of the series of a class of failures.
func failing(appid string, kind credential.Kind, class wxapi.Class) string {
	return fmt.Sprintf("wxbroker_credential_failing{appid=%q,class=%q,kind=%q}", appid, class, kind)
}

func TestMetricsOfAHealthyBroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.run("wx1", "wx2")
		want := map[string]string{
			`wxbroker_build_info{version="v1.2.3"}`:                             "1",
			`wxbroker_wechat_calls_total{api="token",appid="wx1",result="ok"}`:  "1",
			`wxbroker_wechat_calls_total{api="ticket",appid="wx2",result="ok"}`: "1",
			`wxbroker_edges`:        "0",
			`wxbroker_edges_behind`: "0",
		}
		for _, appid := range []string{"wx1", "wx2"} {
			for _, kind := range []credential.Kind{credential.AccessToken, credential.JSAPITicket} {
				want[of("version", appid, kind)] = "9.466848e+11" // 2000-01-01, when a bubble begins, in milliseconds
				want[of("expiry_timestamp_seconds", appid, kind)] = "9.46692e+08"
				want[of("unsaved", appid, kind)] = "0"
				for _, class := range wxapi.Classes() {
					want[failing(appid, kind, class)] = "0"
				}
			}
		}
		w.check(want)
	})
}

// TestAScrapeIsOfOneMoment: what it shows is of one snapshot.
func TestAScrapeIsOfOneMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.run("wx1", "wx2")
		for scrapes := range 3 {
			if w.series(); w.taken != scrapes+1 {
				t.Errorf("%d snapshots were taken for %d scrapes", w.taken, scrapes+1)
			}
		}
	})
}

func TestMetricsOfABrokerInTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.answers["/cgi-bin/ticket/getticket"] = `{"errcode":48001,"errmsg":"unauthorized ` + appSecret + ` ` + accessToken + `"}`
		w.disk.Fill(true)
		w.run("wx1")
		w.check(map[string]string{
			`wxbroker_budget_unsaved{api="token",appid="wx1"}`:                 "1",
			failing("wx1", credential.AccessToken, wxapi.Budget):               "1", // uncounted, so not at once
			`wxbroker_wechat_calls_total{api="token",appid="wx1",result="ok"}`: "",
		})
		time.Sleep(time.Minute)
		trouble := map[string]string{
			of("version", "wx1", credential.JSAPITicket):                           "0",
			of("expiry_timestamp_seconds", "wx1", credential.JSAPITicket):          "",
			of("next_call_timestamp_seconds", "wx1", credential.JSAPITicket):       "9.4668492e+08", // a minute after its call
			of("unsaved", "wx1", credential.AccessToken):                           "1",
			failing("wx1", credential.JSAPITicket, wxapi.Configuration):            "1",
			failing("wx1", credential.JSAPITicket, wxapi.Transient):                "0",
			failing("wx1", credential.AccessToken, wxapi.Configuration):            "0",
			`wxbroker_wechat_calls_total{api="ticket",appid="wx1",result="48001"}`: "1",
			`wxbroker_wechat_calls_total{api="ticket",appid="wx1",result="ok"}`:    "",
		}
		w.check(trouble)

		w.mu.Lock()
		w.answers["/cgi-bin/ticket/getticket"] = "<html>" + accessToken // no errcode to count by
		w.mu.Unlock()
		time.Sleep(time.Minute + time.Second)
		w.check(map[string]string{
			failing("wx1", credential.JSAPITicket, wxapi.Configuration):                "0",
			failing("wx1", credential.JSAPITicket, wxapi.Transient):                    "1",
			`wxbroker_wechat_calls_total{api="ticket",appid="wx1",result="transient"}`: "1",
		})

		w.mu.Lock()
		w.answers["/cgi-bin/ticket/getticket"] = `{"errcode":0,"ticket":"` + jsapiTicket + `","expires_in":7200}`
		w.disk.Fill(false)
		w.mu.Unlock()
		time.Sleep(5 * time.Minute)
		w.check(map[string]string{
			failing("wx1", credential.JSAPITicket, wxapi.Transient):             "0",
			of("unsaved", "wx1", credential.AccessToken):                        "0",
			of("unsaved", "wx1", credential.JSAPITicket):                        "0",
			`wxbroker_wechat_calls_total{api="ticket",appid="wx1",result="ok"}`: "1",
		})
	})
}

func TestMetricsHoldNoSecret(t *testing.T) {
	for _, tt := range []struct{ name, ticket string }{
		{"healthy", `{"ticket":"` + jsapiTicket + `","expires_in":7200}`},
		{"errors that repeat secrets", `{"errcode":40164,"errmsg":"` + appSecret + ` ` + accessToken + `"}`},
		{"a body that repeats secrets", appSecret + accessToken},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.answers["/cgi-bin/ticket/getticket"] = tt.ticket
				w.run("wx1")
				_, page := w.series()
				if !strings.Contains(page, `appid="wx1"`) {
					t.Fatalf("the account is not shown:\n%s", page)
				}
				for _, secret := range []string{appSecret, accessToken, jsapiTicket, "hidden"} {
					if strings.Contains(page, secret) {
						t.Errorf("%q is shown:\n%s", secret, page)
					}
				}
			})
		})
	}
}

func TestMetricsAreWellNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.run("wx1")
		synctest.Wait()
		families, err := w.metrics.Registry.Gather() // fails where metrics clash
		if err != nil {
			t.Fatal(err)
		}
		problems, err := promlint.NewWithMetricFamilies(families).Lint()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems {
			if strings.HasPrefix(p.Metric, "wxbroker_") {
				t.Errorf("%s: %s", p.Metric, p.Text)
			}
		}
	})
}
