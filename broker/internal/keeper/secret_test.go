package keeper_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

// TestChangedSecret: the AppSecret is reset at WeChat, and hours later the new
// one is handed in. The back-off that the old one is to blame for ends.
func TestChangedSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, wechatsim.Settings{}, nil)
		w.start(t)
		const reset = "fedcba9876543210fedcba9876543210"
		if err := w.sim.SetSecret(appid, reset); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Hour)
		synctest.Wait()
		if _, live := w.get(credential.AccessToken); live {
			t.Fatal("there is a token though WeChat refuses the secret")
		}
		calls := w.calls(wechatsim.PathToken)
		for range 100 { // handed in once more, it is no news
			w.keeper.UseSecret(credential.NewSecret(reset))
			synctest.Wait()
		}
		if token, live := w.get(credential.AccessToken); !live || !w.sim.TokenAlive(token.Value.Reveal()) {
			t.Error("the new secret is not in use")
		}
		if _, live := w.get(credential.JSAPITicket); !live {
			t.Error("there is no ticket")
		}
		if n := w.calls(wechatsim.PathToken) - calls; n != 1 {
			t.Errorf("%d token calls", n)
		}
		if got := w.keeper.Secret().Reveal(); got != reset {
			t.Error("others are told the old secret")
		}
	})
}

// TestASecretThatIsWrong: handing it in again and again causes no call, while
// WeChat's answer to it is waited out.
func TestASecretThatIsWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, wechatsim.Settings{}, nil)
		if err := w.sim.SetSecret(appid, "fedcba9876543210fedcba9876543210"); err != nil {
			t.Fatal(err)
		}
		w.start(t)
		calls := w.calls(wechatsim.PathToken)
		for range 50 {
			w.keeper.UseSecret(credential.NewSecret(secret))
			time.Sleep(time.Second)
		}
		synctest.Wait()
		if n := w.calls(wechatsim.PathToken) - calls; n != 0 {
			t.Errorf("%d token calls", n)
		}
	})
}
