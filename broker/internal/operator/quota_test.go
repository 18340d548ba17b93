package operator_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/broker/internal/relay"
	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

func TestGetQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, appid)
		inject(t, w.sim, wechatsim.Fault{Kind: wechatsim.FaultCode, Path: wechatsim.PathQuota, Code: 76021, Count: 1})
		got, err := w.GetQuota(as(t, access.EveryAccount), &wxbrokerv1.GetQuotaRequest{Appid: appid})
		if err != nil {
			t.Fatal(err)
		}
		byName := map[string]*wxbrokerv1.QuotaComparison{}
		for _, q := range got.GetApis() {
			byName[q.GetOurs().GetApi()] = q
		}
		if q := byName["token"]; q.GetOurs().GetUsed() != 1 || q.GetOurs().GetLimit() != 2000 || q.GetWechat().GetUsed() != 1 ||
			q.GetWechat().GetDailyLimit() != 2000 || q.GetWechat().GetRemain() != 1999 || q.GetFailure() != "" {
			t.Errorf("token: %v", q)
		}
		// The first to be asked met the fault.
		if q := byName["get_api_domain_ip"]; q.GetWechat() != nil || !strings.Contains(q.GetFailure(), "errcode 76021") {
			t.Errorf("get_api_domain_ip: %v", q)
		}
		if q := byName["force_refresh"]; q == nil || q.GetWechat() != nil || q.GetFailure() != "" {
			t.Errorf("force_refresh: %v", q)
		}
	})
}

// TestQuotaOfApps: who has called what today, and what is stopped until it is
// cleared.
func TestQuotaOfApps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, appid, other)
		_, id := access.NewToken()
		shop := access.App{
			Name: "shop", Identities: []access.Identity{id}, Accounts: []string{appid}, Grants: []credential.Grant{credential.Template},
			PerDay: map[string]int{wxapi.PathTemplate: 3},
		}
		policy, err := access.NewPolicy([]access.App{shop}, nil)
		if err != nil {
			t.Fatal(err)
		}
		w.Access = access.NewControl(policy, credential.WallClock)
		gone := access.App{Name: "gone", Grants: shop.Grants}
		send := func(app *access.App) error {
			const message = `{"touser":"o","template_id":"t","data":{}}`
			answer, err := w.Relay.Do(t.Context(), app, relay.Call{
				AppID: appid, Kind: wechat.TemplateAPI, Method: http.MethodPost, Path: wxapi.PathTemplate,
				Body: strings.NewReader(message), Length: int64(len(message)),
			})
			if err == nil {
				err = answer.Body.Close()
			}
			return err
		}
		for _, app := range []*access.App{&shop, &shop, &gone} {
			if err := send(app); err != nil {
				t.Fatal(err)
			}
		}
		inject(t, w.sim, wechatsim.Fault{Kind: wechatsim.FaultCode, Path: wechatsim.PathTemplateSend, Code: 45009, Count: 1})
		_ = send(&shop)
		got, err := w.GetQuota(as(t, access.EveryAccount), &wxbrokerv1.GetQuotaRequest{Appid: appid})
		if err != nil {
			t.Fatal(err)
		}
		if apps := got.GetApps(); len(apps) != 2 || apps[0].GetApp() != "gone" || apps[0].GetUsed() != 1 || apps[0].Limit != nil ||
			apps[1].GetApp() != "shop" || apps[1].GetApi() != wxapi.PathTemplate || apps[1].GetUsed() != 3 || apps[1].GetLimit() != 3 {
			t.Errorf("apps %v", apps)
		}
		if stops := got.GetStopped(); len(stops) != 1 || stops[0].GetApi() != wxapi.PathTemplate || stops[0].GetErrcode() != 45009 || stops[0].GetUntilTime().AsTime().Sub(w.Started) != time.Hour {
			t.Errorf("stopped %v", stops)
		}
		if got, err := w.GetQuota(as(t, access.EveryAccount), &wxbrokerv1.GetQuotaRequest{Appid: other}); err != nil || len(got.GetApps()) != 0 || len(got.GetStopped()) != 0 {
			t.Errorf("of another account: %v, %v", got, err)
		}
		if _, err := w.ClearQuota(as(t, access.EveryAccount), &wxbrokerv1.ClearQuotaRequest{Appid: appid}); err != nil {
			t.Fatal(err)
		}
		if err := send(&gone); err != nil {
			t.Errorf("once it was cleared: %v", err)
		}
	})
}

// TestClearQuota: the code says whether it is of use to try again.
func TestClearQuota(t *testing.T) {
	fault := func(f wechatsim.Fault) func(*testing.T, *world) {
		f.Path = wechatsim.PathClearQuota
		return func(t *testing.T, w *world) {
			t.Helper()
			inject(t, w.sim, f)
		}
	}
	for _, tt := range []struct {
		name   string
		before func(*testing.T, *world)
		code   codes.Code
		says   string
	}{
		{"cleared", nil, codes.OK, ""},
		{"WeChat's month is spent", fault(wechatsim.Fault{Kind: wechatsim.FaultCode, Code: 48006}), codes.FailedPrecondition, "ten times this month"},
		{"the secret is wrong", func(_ *testing.T, w *world) { _ = w.sim.SetSecret(appid, "another") }, codes.FailedPrecondition, "check the account's AppSecret"},
		{"our month is spent", func(t *testing.T, w *world) {
			t.Helper()
			for range 10 {
				if _, err := w.ClearQuota(as(t, access.EveryAccount), &wxbrokerv1.ClearQuotaRequest{Appid: appid}); err != nil {
					t.Fatal(err)
				}
			}
		}, codes.ResourceExhausted, "10 of the 10 calls"},
		{"busy", fault(wechatsim.Fault{Kind: wechatsim.FaultCode, Code: -1}), codes.Unavailable, "system error"},
		{"an outage", fault(wechatsim.Fault{Kind: wechatsim.FaultReset}), codes.Unavailable, "clear_quota"},
		{"a gateway", fault(wechatsim.Fault{Kind: wechatsim.FaultStatus, Status: 502}), codes.Unavailable, "HTTP 502"},
		{"the broker stops", func(_ *testing.T, w *world) { w.stop() }, codes.Unavailable, "stopped"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, nil, appid)
				if tt.before != nil {
					tt.before(t, w)
				}
				got, err := w.ClearQuota(as(t, access.EveryAccount), &wxbrokerv1.ClearQuotaRequest{Appid: appid})
				if status.Code(err) != tt.code {
					t.Fatalf("answered %v, want %v", err, tt.code)
				}
				if err == nil {
					if got.GetOurs().GetUsed() != 1 || got.GetOurs().GetLimit() != 10 {
						t.Errorf("answered %v", got)
					}
					return
				}
				if text := err.Error(); !strings.Contains(text, tt.says) || strings.Contains(text, secret) {
					t.Errorf("error %q, want %q and no secret", text, tt.says)
				}
			})
		})
	}
}

// TestACallerThatLeaves is told of its own end, not of WeChat's trouble.
func TestACallerThatLeaves(t *testing.T) {
	for _, path := range []string{wechatsim.PathQuota, wechatsim.PathClearQuota} {
		t.Run(path, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, nil, appid)
				inject(t, w.sim, wechatsim.Fault{Kind: wechatsim.FaultHang, Path: path})
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				var err error
				if path == wechatsim.PathQuota {
					_, err = w.GetQuota(ctx, &wxbrokerv1.GetQuotaRequest{Appid: appid})
				} else {
					_, err = w.ClearQuota(ctx, &wxbrokerv1.ClearQuotaRequest{Appid: appid})
				}
				if status.Code(err) != codes.DeadlineExceeded {
					t.Errorf("answered %v", err)
				}
			})
		})
	}
}
