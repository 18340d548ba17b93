package app

import (
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/wxbroker/wxbroker/broker/internal/config"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

// TestAccountsComeAndGo: an account that did not change is not touched.
func TestAccountsComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startSite(t, false, "wx1", "wx2")
		kept := s.app.accounts.keeper("wx1")
		s.reload("wx1", "wx3")
		synctest.Wait()
		if got := s.published(); got != "wx1 true, wx3 true" {
			t.Errorf("published are %s", got)
		}
		if s.app.accounts.keeper("wx1") != kept {
			t.Error("an account that did not change has another keeper")
		}
		s.reload("wx1 , sign_hosts: [a.example.com]", "wx3")
		if s.app.accounts.keeper("wx1") != kept {
			t.Error("a change of policy is taken for a keeper's business")
		}
		if got := s.app.states.Current([]string{"wx1"}).Accounts[0].SignHosts.Strings(); len(got) != 1 {
			t.Errorf("sign_hosts %q", got)
		}
		s.reload("wx1 , tickets: []", "wx3")
		synctest.Wait()
		if s.app.accounts.keeper("wx1") == kept {
			t.Error("an account whose credentials are kept otherwise has its old keeper")
		}
		if got := s.published(); got != "wx1 false, wx3 true" {
			t.Errorf("published are %s", got)
		}
		s.end()
	})
}

// TestNextKeepersTakeOver what a call brings that was under way when the keeper before
// was stopped. A second call beside it would end that token.
func TestNextKeepersTakeOver(t *testing.T) {
	const classic = "wx1 , token_api: classic"
	for _, tt := range []struct {
		name    string
		reloads [][]string
	}{
		{"of an account that comes back", [][]string{{"wx2"}, {classic, "wx2"}}},
		{"of an account that is kept in another way", [][]string{{classic + ", limits: {token: 100}", "wx2"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t)
				s.slow(wechatsim.PathToken)
				s.start(classic, "wx2")
				time.Sleep(time.Second)
				for _, accounts := range tt.reloads {
					s.reload(accounts...)
				}
				time.Sleep(10 * time.Second)
				synctest.Wait()
				if n := s.sim.Count(wechatsim.Call{AppID: "wx1", API: wechatsim.PathToken}); n != 1 {
					t.Errorf("%d calls for a token, want one", n)
				}
				if got := s.published(); got != "wx1 true, wx2 true" {
					t.Errorf("published are %s", got)
				}
				s.end()
			})
		})
	}
}

// TestAnotherSecretFileIsFollowed, and the one before no longer.
func TestAnotherSecretFileIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startSite(t, false, "wx1")
		s.writeFile(s.beside("other"), "secret")
		s.write("wx1")
		s.writeFile(s.path, strings.ReplaceAll(string(s.read().Files[0].Bytes), s.beside("secret"), s.beside("other")))
		if err := s.app.Reload(t.Context(), s.path, s.read()); err != nil {
			t.Fatal(err)
		}
		s.writeFile(s.beside("other"), "newer")
		time.Sleep(time.Minute)
		s.writeFile(s.beside("secret"), "of-the-file-before")
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := s.app.accounts.keeper("wx1").Secret(); got.Reveal() != "newer" {
			t.Errorf("the AppSecret is %q", got.Reveal())
		}
		s.end()
	})
}

// TestAReloadBringsNoOldSecretBack: the file is written again after the reload has read
// it, and the keeper has the new one already.
func TestAReloadBringsNoOldSecretBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startSite(t, false, "wx1")
		s.write("wx1 , limits: {token: 100}")
		next, err := config.Parse(t.Context(), s.path, s.read())
		if err != nil {
			t.Fatal(err)
		}
		s.writeFile(s.beside("secret"), "newer")
		time.Sleep(time.Minute)
		synctest.Wait()
		s.app.accounts.apply(next.Accounts)
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := s.app.accounts.keeper("wx1").Secret(); got.Reveal() != "newer" {
			t.Errorf("the AppSecret is %q", got.Reveal())
		}
		s.end()
	})
}

// TestReloadBesideACall: a call to WeChat does not return. What was removed is gone
// at once, what is new is there at once, and nobody waits for the call.
func TestReloadBesideACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startSite(t, false, "wx1", "wx2")
		if err := s.sim.Inject(wechatsim.Fault{Kind: wechatsim.FaultHang, Path: wechatsim.PathTicket}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10*time.Minute + time.Second) // the tickets are being read again
		s.reload("wx2", "wx3")
		synctest.Wait()
		if got := s.published(); got != "wx2 true, wx3 false" {
			t.Errorf("at once published are %s", got)
		}
		time.Sleep(10 * time.Second)
		if got := s.published(); got != "wx2 true, wx3 false" {
			t.Errorf("afterwards published are %s", got)
		}
		s.end()
	})
}

// TestRemovedAccountsStayGone: a call brings a new value for an account that was
// removed meanwhile. What its keeper publishes then goes to nobody.
func TestRemovedAccountsStayGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.more = apps("web , accounts: ['*'], grants: [sign]")
		s.start("wx1", "wx2")
		edge := s.watch("web", s.connect())
		edge.check(t, "at first", "wx1 wx2", false, codes.OK)
		if err := s.sim.KillTicket("wx1", wechatsim.JSAPI); err != nil {
			t.Fatal(err)
		}
		s.slow(wechatsim.PathTicket)
		time.Sleep(10*time.Minute + time.Second) // the tickets are being read again
		before := len(s.sim.Issued("wx1"))
		s.reload("wx2")
		edge.check(t, "at once", "wx2", false, codes.OK)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if len(s.sim.Issued("wx1")) == before {
			t.Fatal("WeChat has handed out nothing new, so this shows nothing")
		}
		edge.check(t, "afterwards", "wx2", false, codes.OK)
		s.end()
	})
}

// TestRemovedAccountsAreNotFollowed: their files may go, too, and nobody is told.
func TestRemovedAccountsAreNotFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startSite(t, false, "wx1", "wx2")
		s.reload("wx1")
		s.log.Take()
		if err := os.Remove(s.beside("secret")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := strings.Join(s.log.Take(), "\n"); !strings.Contains(got, "appid=wx1") || strings.Contains(got, "appid=wx2") {
			t.Errorf("after the file of both is gone the log says %q, want something of wx1 alone", got)
		}
		s.end()
	})
}
