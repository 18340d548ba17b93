package keeper_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/keeper"
	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

// TestQuotaCompares our count with WeChat's, for the APIs that the account's
// credentials are kept with and WeChat counts.
func TestQuotaCompares(t *testing.T) {
	for _, isStable := range []bool{false, true} {
		t.Run(fmt.Sprint("stable ", isStable), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, wechatsim.Settings{}, func(o *keeper.Options) { o.Stable = isStable })
				untilMidnight()
				w.start(t)
				time.Sleep(5 * time.Hour)
				tokenAPI := map[bool]wechat.API{false: wechat.TokenAPI, true: wechat.StableTokenAPI}[isStable]
				quotas, err := w.keeper.Quota(t.Context())
				if err != nil || len(quotas) != len(keeper.DefaultLimits()) {
					t.Fatalf("%d APIs, %v", len(quotas), err)
				}
				for _, q := range quotas {
					if q.Err != nil {
						t.Errorf("%s: %v", q.Ours.API, q.Err)
					}
					switch api := q.Ours.API; api {
					case tokenAPI, wechat.TicketAPI:
						if q.WeChat == nil || q.WeChat.Used != int64(q.Ours.Used) || q.Ours.Used < 3 || q.WeChat.Remain != q.WeChat.DailyLimit-q.WeChat.Used {
							t.Errorf("%s: ours %+v, WeChat's %+v", api, q.Ours, q.WeChat)
						}
					case wechat.ProbeAPI: // WeChat has a limit and no count of it
						if q.WeChat == nil {
							t.Errorf("%s: WeChat was not asked", api)
						}
					default:
						if q.WeChat != nil {
							t.Errorf("%s: WeChat was asked about what this account does not use: %+v", api, q.WeChat)
						}
					}
				}
				synctest.Wait() // the status is shown after the answer
				if n := w.calls(wechatsim.PathQuota); n != 3 || w.spent(wechat.QuotaAPI).Used != 3 {
					t.Errorf("%d calls, %d counted, want 3", n, w.spent(wechat.QuotaAPI).Used)
				}
			})
		})
	}
}

// TestQuotaThatCannotBeAsked says why for each API, and shows our count.
func TestQuotaThatCannotBeAsked(t *testing.T) {
	for _, tt := range []struct {
		name  string
		limit int
		fault wechatsim.Fault
		calls int
	}{
		{"no token", 1000, wechatsim.Fault{Kind: wechatsim.FaultCode, Path: wechatsim.PathToken, Code: 40125}, 0},
		{"WeChat refuses", 1000, wechatsim.Fault{Kind: wechatsim.FaultCode, Path: wechatsim.PathQuota, Code: 48001}, 3},
		{"none allowed", 0, wechatsim.Fault{Kind: wechatsim.FaultCode, Path: wechatsim.PathQuota, Code: 48001}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, wechatsim.Settings{}, func(o *keeper.Options) { o.Limits = keeper.Limits{wechat.QuotaAPI: tt.limit} })
				w.inject(t, tt.fault)
				w.start(t)
				quotas, err := w.keeper.Quota(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, q := range quotas {
					asked := q.Ours.API == wechat.TokenAPI || q.Ours.API == wechat.TicketAPI || q.Ours.API == wechat.ProbeAPI
					if q.WeChat != nil || (q.Err != nil) != asked {
						t.Errorf("%s: %+v, error %v", q.Ours.API, q.WeChat, q.Err)
					}
					if q.Ours.API == wechat.TokenAPI && q.Ours.Used != 1 {
						t.Errorf("our own count is %+v", q.Ours)
					}
				}
				// Without a token WeChat could not tell whose calls they are.
				synctest.Wait()
				if n := w.sim.Count(wechatsim.Call{API: wechatsim.PathQuota}); n != tt.calls || w.spent(wechat.QuotaAPI).Used != n {
					t.Errorf("%d calls, %d counted, want %d", n, w.spent(wechat.QuotaAPI).Used, tt.calls)
				}
			})
		})
	}
}

func TestQuotaOfAStoppedKeeper(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, wechatsim.Settings{}, nil)
		w.start(t)
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := w.keeper.Quota(cancelled); !errors.Is(err, context.Canceled) {
			t.Errorf("Quota for a caller that has left: %v", err)
		}
		w.stop()
		if _, err := w.keeper.Quota(t.Context()); !errors.Is(err, keeper.ErrStopped) {
			t.Errorf("Quota: %v", err)
		}
		if _, err := w.keeper.ClearQuota(t.Context()); !errors.Is(err, keeper.ErrStopped) {
			t.Errorf("ClearQuota: %v", err)
		}
	})
}
