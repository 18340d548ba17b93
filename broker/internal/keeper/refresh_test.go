package keeper_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/keeper"
	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

// TestRefreshReplacesNothing without force: it reads what reading does not
// replace.
func TestRefreshReplacesNothing(t *testing.T) {
	for _, tt := range []struct {
		name       string
		change     func(*keeper.Options)
		tokenCalls int
		path       string
	}{
		{"stable", stable, 2, wechatsim.PathStableToken},
		{"classic", func(o *keeper.Options) { o.Stable = false }, 1, wechatsim.PathToken},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, wechatsim.Settings{}, tt.change)
				w.start(t)
				time.Sleep(time.Minute)
				token, _ := w.get(credential.AccessToken)
				ticket, _ := w.get(credential.JSAPITicket)
				if err := w.keeper.Refresh(t.Context(), false); err != nil {
					t.Fatal(err)
				}
				if now, _ := w.get(credential.AccessToken); now.Version != token.Version {
					t.Error("the token was replaced")
				}
				if now, _ := w.get(credential.JSAPITicket); now.Version != ticket.Version {
					t.Error("the ticket was replaced")
				}
				if n := w.calls(tt.path); n != tt.tokenCalls {
					t.Errorf("%d calls for the token, want %d", n, tt.tokenCalls)
				}
				if n := w.calls(wechatsim.PathTicket); n != 2 {
					t.Errorf("%d calls for the ticket, want 2", n)
				}
			})
		})
	}
}

// TestRefreshEndsAWait: whoever mended the cause need not wait it out.
func TestRefreshEndsAWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, wechatsim.Settings{}, stable)
		w.inject(t, wechatsim.Fault{Kind: wechatsim.FaultCode, Path: wechatsim.PathStableToken, Code: 89503, Count: 1})
		w.start(t)
		time.Sleep(time.Second)
		if _, live := w.get(credential.AccessToken); live {
			t.Fatal("there is a token")
		}
		if err := w.keeper.Refresh(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		if _, live := w.get(credential.AccessToken); !live {
			t.Error("there is no token")
		}
		if _, live := w.get(credential.JSAPITicket); !live {
			t.Error("there is no ticket")
		}
		if e := w.keeper.Status().Kinds[0].LastError; e != nil {
			t.Errorf("the status still says %v", e)
		}
	})
}

// TestForcedByAPerson: the token is replaced, and WeChat takes the new one.
func TestForcedByAPerson(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*keeper.Options)
		early  time.Duration // when it is too early for another
		says   string
	}{
		{"stable", stable, 29 * time.Second, "WeChat allows one in 30 s"},
		{"classic", func(o *keeper.Options) { o.Stable = false }, 4 * time.Minute, "the one before it lives until it is 5m0s"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, wechatsim.Settings{}, tt.change)
				w.start(t)
				time.Sleep(time.Hour)
				before, _ := w.get(credential.AccessToken)
				if err := w.keeper.Refresh(t.Context(), true); err != nil {
					t.Fatal(err)
				}
				after, live := w.get(credential.AccessToken)
				if !live || after.Version <= before.Version || after.Value.Equal(before.Value) {
					t.Errorf("version %d after %d", after.Version, before.Version)
				}
				time.Sleep(tt.early)
				err := w.keeper.Refresh(t.Context(), true)
				if e, ok := errors.AsType[*wechat.Error](err); !ok || e.Class != wxapi.Budget || !strings.Contains(err.Error(), tt.says) {
					t.Errorf("too early: %v", err)
				}
				if now, _ := w.get(credential.AccessToken); now.Version != after.Version {
					t.Error("the token was replaced too early")
				}
			})
		})
	}
}

// TestForceThatFails leaves what serves.
func TestForceThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, wechatsim.Settings{}, stable)
		w.start(t)
		time.Sleep(time.Hour)
		before, _ := w.get(credential.AccessToken)
		w.inject(t, wechatsim.Fault{Kind: wechatsim.FaultCode, Path: wechatsim.PathStableToken, Code: 45009, Count: 1})
		err := w.keeper.Refresh(t.Context(), true)
		if e, ok := errors.AsType[*wechat.Error](err); !ok || e.Code != 45009 {
			t.Errorf("forced: %v", err)
		}
		if now, live := w.get(credential.AccessToken); !live || now.Version != before.Version {
			t.Errorf("version %d, live %v", now.Version, live)
		}
	})
}

func TestRefreshOfAStoppedKeeper(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, wechatsim.Settings{}, stable)
		w.start(t)
		w.stop()
		if err := w.keeper.Refresh(context.Background(), true); !errors.Is(err, keeper.ErrStopped) {
			t.Errorf("%v", err)
		}
	})
}

// TestWhenATokenIsReplaced: of a classic token it is said, so that who copies it
// lets go of it in time; a stable one is good until it expires.
func TestWhenATokenIsReplaced(t *testing.T) {
	for _, stable := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, wechatsim.Settings{}, func(o *keeper.Options) { o.Stable = stable })
			w.start(t)
			now := credential.Clock(w.clock.Now).Now()
			token, _ := w.get(credential.AccessToken)
			left := token.CopyLife(now)
			switch {
			case stable && left != 2*time.Hour:
				t.Errorf("a copy of the stable token is good for %v", left)
			case !stable && (left < 1*time.Hour+53*time.Minute || left > 1*time.Hour+54*time.Minute+50*time.Second):
				t.Errorf("a copy of the classic token is good for %v", left)
			}
			if ticket, _ := w.get(credential.JSAPITicket); !ticket.Replaced.IsZero() {
				t.Error("a ticket is said to be replaced")
			}
			if !w.keeper.Secret().Equal(credential.NewSecret(secret)) {
				t.Error("it has another AppSecret")
			}
			time.Sleep(left)
			if value := token.Value.Reveal(); !w.sim.TokenAlive(value) && !stable {
				t.Error("WeChat does not honour the copy that long")
			}
		})
	}
}

// TestSettle: returns when what is under way is done.
func TestSettle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, wechatsim.Settings{}, nil)
		w.inject(t, wechatsim.Fault{Kind: wechatsim.FaultDelay, Path: wechatsim.PathToken, Duration: 3 * time.Second})
		w.start(t)
		start := time.Now()
		if err := w.keeper.Settle(t.Context()); err != nil || time.Since(start) != 3*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if _, live := w.get(credential.AccessToken); !live {
			t.Error("there is no token then")
		}
		w.stop()
		if err := w.keeper.Settle(t.Context()); !errors.Is(err, keeper.ErrStopped) {
			t.Errorf("afterwards: %v", err)
		}
	})
}
