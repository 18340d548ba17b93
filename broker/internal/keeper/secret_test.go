package keeper_test

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/keeper"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

// secretFile is an AppSecret that changes, or cannot be read.
type secretFile struct {
	mu    sync.Mutex
	value string
	err   error
}

func (f *secretFile) set(value string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.value, f.err = value, err
}

func (f *secretFile) read() (credential.Secret, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return credential.NewSecret(f.value), f.err
}

// TestChangedSecret: the AppSecret is reset at WeChat, and hours later somebody
// puts the new one into its file. That is noticed within seconds.
func TestChangedSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := &secretFile{value: secret}
		w := newWorld(t, wechatsim.Settings{}, func(o *keeper.Options) { o.ReadSecret = file.read })
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
		file.set("", errors.New("in the middle of being replaced"))
		time.Sleep(10 * time.Second)
		file.set(reset, nil)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if token, live := w.get(credential.AccessToken); !live || !w.sim.TokenAlive(token.Value.Reveal()) {
			t.Error("the new secret is not in use")
		}
		if _, live := w.get(credential.JSAPITicket); !live {
			t.Error("there is no ticket")
		}
		if n := w.calls(wechatsim.PathToken) - calls; n > 2 {
			t.Errorf("%d token calls in 13 seconds", n)
		}
	})
}

// TestUnreadableSecret: a file that is gone takes nothing away.
func TestUnreadableSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := &secretFile{value: secret}
		w := newWorld(t, wechatsim.Settings{}, func(o *keeper.Options) { o.ReadSecret = file.read })
		w.start(t)
		file.set("", errors.New("no such file"))
		during(5*time.Hour, time.Minute, func(elapsed time.Duration) {
			if token, live := w.get(credential.AccessToken); !live || !w.sim.TokenAlive(token.Value.Reveal()) {
				t.Fatalf("after %v there is no live token", elapsed)
			}
		})
	})
}
