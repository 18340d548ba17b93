package keeper_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/keeper"
	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

// TestClearQuotaGoesOn: WeChat says that the day's calls are spent; once a
// person clears them the keeper does not wait out its hour.
func TestClearQuotaGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, wechatsim.Settings{TokenLifetime: 10 * time.Minute, ClassicQuota: 3}, nil)
		w.start(t)
		time.Sleep(40 * time.Minute)
		synctest.Wait()
		if e := w.keeper.Status().Kinds[0].LastError; e == nil || e.Code != 45009 {
			t.Fatalf("the quota is not spent: %v", e)
		}
		if spent, err := w.keeper.ClearQuota(t.Context()); err != nil || spent.Used != 1 || spent.Limit != 10 || spent.API != wechat.ClearQuotaAPI {
			t.Errorf("cleared: %+v, %v", spent, err)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if _, live := w.get(credential.JSAPITicket); !live || w.spent(wechat.TokenAPI).Used != 1 {
			t.Errorf("a moment later: live %v, %d token calls counted since", live, w.spent(wechat.TokenAPI).Used)
		}
	})
}

// TestClearQuotaEndsOurOwnRestraint: our limit is spent, not WeChat's.
func TestClearQuotaEndsOurOwnRestraint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, wechatsim.Settings{}, func(o *keeper.Options) { o.Limits = keeper.Limits{wechat.TokenAPI: 10} })
		w.inject(t, wechatsim.Fault{Kind: wechatsim.FaultCode, Path: wechatsim.PathToken, Code: -1})
		w.start(t)
		time.Sleep(30 * time.Minute)
		w.sim.ClearFaults()
		time.Sleep(time.Minute)
		synctest.Wait()
		if e := w.keeper.Status().Kinds[0].LastError; e == nil || e.Class != wxapi.Budget {
			t.Fatalf("the keeper does not hold back: %v", e)
		}
		if _, err := w.keeper.ClearQuota(t.Context()); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if _, live := w.get(credential.AccessToken); !live {
			t.Error("it goes on holding back")
		}
	})
}

// TestClearQuotaTenTimesAMonth: the eleventh is not sent, and a restart is no
// new month.
func TestClearQuotaTenTimesAMonth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, wechatsim.Settings{ClearsPerMonth: wechatsim.None}, nil)
		w.start(t)
		for i := range 10 {
			if spent, err := w.keeper.ClearQuota(t.Context()); err != nil || spent.Used != i+1 {
				t.Errorf("number %d: %+v, %v", i+1, spent, err)
			}
			w.stop()
			time.Sleep(2 * day)
			w.start(t)
		}
		spent, err := w.keeper.ClearQuota(t.Context())
		if e, ok := errors.AsType[*wechat.Error](err); !ok || e.Class != wxapi.Budget || spent.Used != 10 {
			t.Errorf("the eleventh: %+v, %v", spent, err)
		}
		if n := w.calls(wechatsim.PathClearQuota); n != 10 {
			t.Errorf("%d were sent", n)
		}
		w.stop()
		time.Sleep(time.Until(spent.Reset))
		w.start(t)
		if want := time.Date(2000, 2, 1, 0, 0, 0, 0, china); !spent.Reset.Equal(want) {
			t.Errorf("counted anew at %v, want %v", spent.Reset, want)
		}
		if spent, err := w.keeper.ClearQuota(t.Context()); err != nil || spent.Used != 1 {
			t.Errorf("in the next month: %+v, %v", spent, err)
		}
	})
}

// TestClearQuotaThatFails: what WeChat refused it did not count; what was lost
// on the way it may have.
func TestClearQuotaThatFails(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault wechatsim.Fault
		class wxapi.Class
		code  int
		used  int
	}{
		{"WeChat's month is spent", wechatsim.Fault{Kind: wechatsim.FaultCode, Code: 48006}, wxapi.Configuration, 48006, 0},
		{"the secret is wrong", wechatsim.Fault{Kind: wechatsim.FaultCode, Code: 40125}, wxapi.Configuration, 40125, 0},
		{"the answer is lost", wechatsim.Fault{Kind: wechatsim.FaultLost}, wxapi.Transient, 0, 1},
		{"a gateway answers", wechatsim.Fault{Kind: wechatsim.FaultStatus, Status: 502}, wxapi.Transient, 0, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, wechatsim.Settings{}, nil)
				w.start(t)
				tokens := w.spent(wechat.TokenAPI).Used
				tt.fault.Path = wechatsim.PathClearQuota
				w.inject(t, tt.fault)
				spent, err := w.keeper.ClearQuota(t.Context())
				e, ok := errors.AsType[*wechat.Error](err)
				if !ok || e.Class != tt.class || int(e.Code) != tt.code || spent.Used != tt.used {
					t.Errorf("%+v, %v", spent, err)
				}
				synctest.Wait()
				if n := w.spent(wechat.TokenAPI).Used; n != tokens {
					t.Errorf("token calls counted: %d before, %d after", tokens, n)
				}
			})
		})
	}
}
