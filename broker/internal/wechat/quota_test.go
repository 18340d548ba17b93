package wechat_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

// seen is a request as WeChat got it.
type seen struct {
	method, path, contentType string
	query                     url.Values
	body                      map[string]string
}

// recording answers every call with the same body and notes what it was asked.
func recording(t *testing.T, answer string) (*wechat.Client, *seen) {
	t.Helper()
	got := new(seen)
	upstream := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*got = seen{method: r.Method, path: r.URL.Path, contentType: r.Header.Get("Content-Type"), query: r.URL.Query()}
		if err := json.NewDecoder(r.Body).Decode(&got.body); err != nil {
			t.Errorf("the body: %v", err)
		}
		fmt.Fprint(w, answer)
	}))
	return wechat.New(wechat.Options{Upstreams: []*url.URL{upstream}}), got
}

// TestQuotaRequest: as in api_getapiquota.html, and its example's answer.
func TestQuotaRequest(t *testing.T) {
	client, got := recording(t, `{"errcode":0,"errmsg":"ok","quota":{"daily_limit":5000,"used":1,"remain":4999},
		"rate_limit":{"call_count":1000,"refresh_second":60},"component_rate_limit":{"call_count":1000,"refresh_second":60}}`)
	quota, err := client.Quota(t.Context(), account, credential.NewSecret("80_token"), wechat.TicketAPI)
	if err != nil || quota != (wechat.DayQuota{DailyLimit: 5000, Used: 1, Remain: 4999}) {
		t.Errorf("answered %+v, %v", quota, err)
	}
	if got.method != http.MethodPost || got.path != "/cgi-bin/openapi/quota/get" || got.contentType != "application/json" ||
		got.query.Encode() != "access_token=80_token" || len(got.body) != 1 || got.body["cgi_path"] != "/cgi-bin/ticket/getticket" {
		t.Errorf("asked %+v", got)
	}
}

// TestClearQuotaRequest: as in api_clearquotabyappsecret.html, in both places
// that WeChat documents.
func TestClearQuotaRequest(t *testing.T) {
	client, got := recording(t, `{"errcode":0,"errmsg":"ok"}`)
	if err := client.ClearQuota(t.Context(), account); err != nil {
		t.Error(err)
	}
	if got.method != http.MethodPost || got.path != "/cgi-bin/clear_quota/v2" || got.contentType != "application/json" ||
		len(got.query) != 2 || got.query.Get("appid") != appid || got.query.Get("appsecret") != appSecret ||
		len(got.body) != 2 || got.body["appid"] != appid || got.body["appsecret"] != appSecret {
		t.Errorf("asked %+v", got)
	}
}

func TestHasQuota(t *testing.T) {
	for api, want := range map[wechat.API]bool{
		wechat.TokenAPI: true, wechat.StableTokenAPI: true, wechat.TicketAPI: true, wechat.ProbeAPI: true,
		wechat.ForceRefreshAPI: false, "": false,
	} {
		if got := wechat.HasQuota(api); got != want {
			t.Errorf("%q: %v", api, got)
		}
	}
}

// TestQuotaAnswers: an answer that says nothing is trouble, and no zeros.
func TestQuotaAnswers(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		class      wxapi.Class // "" where it is taken
	}{
		{"nothing used", `{"errcode":0,"quota":{"daily_limit":5000,"used":0,"remain":5000}}`, ""},
		{"without an errcode", `{"quota":{"daily_limit":5000,"used":0,"remain":5000}}`, ""},
		{"no quota", `{"errcode":0,"errmsg":"ok"}`, wxapi.Transient},
		{"null", `{"errcode":0,"quota":null}`, wxapi.Transient},
		{"words", `{"errcode":0,"quota":{"daily_limit":"plenty"}}`, wxapi.Transient},
		{"no such path", `{"errcode":76021,"errmsg":"cgi_path not found, please check"}`, wxapi.Configuration},
		{"a dead token", `{"errcode":40001,"errmsg":"invalid credential"}`, wxapi.RefusedToken},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client := wechat.New(wechat.Options{Upstreams: []*url.URL{serve(t, body(tt.body))}})
			got, err := client.Quota(t.Context(), account, credential.NewSecret("80_token"), wechat.TokenAPI)
			if tt.class == "" {
				if err != nil || got.Remain != 5000 {
					t.Errorf("answered %+v, %v", got, err)
				}
				return
			}
			if e := asError(t, err); e.Class != tt.class || e.API != wechat.QuotaAPI {
				t.Errorf("answered %v of class %s", e, e.Class)
			}
		})
	}
}

// TestQuotaOverTheSimulator, which is written from the same documents.
func TestQuotaOverTheSimulator(t *testing.T) {
	sim, client := simulated(t)
	grant, err := client.Token(t.Context(), account)
	if err != nil {
		t.Fatal(err)
	}
	used := func() int64 {
		t.Helper()
		got, err := client.Quota(t.Context(), account, grant.Value, wechat.TokenAPI)
		if err != nil || got.DailyLimit != 2000 || got.Used+got.Remain != 2000 {
			t.Errorf("quota %+v, %v", got, err)
		}
		return got.Used
	}
	if n := used(); n != 1 {
		t.Errorf("%d calls used", n)
	}
	if err := client.ClearQuota(t.Context(), account); err != nil {
		t.Error(err)
	}
	if n := used(); n != 0 {
		t.Errorf("%d calls used after all were cleared", n)
	}
	sim.Change(func(s *wechatsim.Settings) { s.ClearsPerMonth = 1 })
	if e := asError(t, client.ClearQuota(t.Context(), account)); e.Code != 48006 || e.Class != wxapi.Configuration || !strings.Contains(e.Advice, "ten times this month") {
		t.Errorf("%v", e)
	}
	if err := sim.SetSecret(appid, "another"); err != nil {
		t.Fatal(err)
	}
	// No token is sent, so 40001 is about the secret.
	sim.Change(func(s *wechatsim.Settings) { s.WrongSecretCode = 40001 })
	if e := asError(t, client.ClearQuota(t.Context(), account)); e.Class != wxapi.Configuration || !strings.Contains(e.Advice, "AppSecret") {
		t.Errorf("%v of class %s", e, e.Class)
	}
}

// TestNoSecretInQuotaErrors: both calls send one, and WeChat may repeat it.
func TestNoSecretInQuotaErrors(t *testing.T) {
	const token = "80_thetoken-thetoken_thetoken"
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent, _ := io.ReadAll(r.Body)
		answer, _ := json.Marshal(map[string]any{"errcode": 40013, "errmsg": r.URL.RawQuery + string(sent)})
		_, _ = w.Write(answer)
	})
	for name, upstream := range map[string]*url.URL{"echo": serve(t, echo), "refused": {Scheme: "http", Host: "127.0.0.1:1"}} {
		client := wechat.New(wechat.Options{Upstreams: []*url.URL{upstream}})
		_, err := client.Quota(t.Context(), account, credential.NewSecret(token), wechat.TicketAPI)
		for _, err := range []error{err, client.ClearQuota(t.Context(), account)} {
			e := asError(t, err)
			if text := fmt.Sprintf("%v %+v %s", e, *e, e.Sentence()); strings.Contains(text, appSecret) || strings.Contains(text, token) {
				t.Errorf("%s: an error shows a secret: %s", name, text)
			}
		}
	}
}
