package app

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	"github.com/wxbroker/wxbroker/broker/clustertest"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

// TestRevokedWhileAKeeperIsReplaced: what a reload revokes ends at once, also when the
// reload replaces a keeper whose call to WeChat does not return.
func TestRevokedWhileAKeeperIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		const web, kept = "web , accounts: [wx1], grants: [sign]", "kept , accounts: ['*'], grants: [sign]"
		s.more = apps(web, kept)
		s.start("wx1", "wx2")
		conn := s.connect()
		revoked, other := s.watch("web", conn), s.watch("kept", conn)
		if err := s.sim.Inject(wechatsim.Fault{Kind: wechatsim.FaultHang, Path: wechatsim.PathTicket}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10*time.Minute + time.Second)
		s.more = apps(kept)
		s.reload("wx1 , limits: {token: 100}", "wx2")
		revoked.check(t, "at once", "", true, codes.PermissionDenied)
		other.check(t, "at once", "wx1 wx2", false, codes.OK)
		s.end()
	})
}

// TestRevokedWhileTheDiskHangs: what a reload revokes ends at once, also when the reload
// adds an account and has to wait for the disk.
func TestRevokedWhileTheDiskHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		const web, kept = "web , accounts: [wx1], grants: [sign]", "kept , accounts: ['*'], grants: [sign]"
		s.more = apps(web, kept)
		s.start("wx1")
		conn := s.connect()
		revoked, other := s.watch("web", conn), s.watch("kept", conn)
		s.disk.Spoil(true) // so half of the new account's calls count as spent, which is to be written
		answer := s.disk.Hang()
		defer answer()
		s.more = apps(kept)
		s.write("wx1", "wx2")
		start, reloaded := time.Now(), make(chan error, 1)
		go func() { reloaded <- s.app.Reload(t.Context(), s.path, s.read()) }()
		revoked.check(t, "at once", "", true, codes.PermissionDenied)
		other.check(t, "at once", "wx1", false, codes.OK)
		if err := <-reloaded; err != nil || time.Since(start) == 0 {
			t.Errorf("the reload took %v, %v: it has not waited for the disk, so this shows nothing", time.Since(start), err)
		}
		other.check(t, "after the reload", "wx1 wx2", false, codes.OK)
		answer()
		s.end()
	})
}

// TestReloadThatNeedsARestart changes nothing.
func TestReloadThatNeedsARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startSite(t, false, "wx1")
		s.more = "data: other.db\n"
		s.write("wx2")
		if err := s.app.Reload(t.Context(), s.path, s.read()); err == nil || !strings.Contains(err.Error(), "data cannot change while the broker runs") {
			t.Errorf("reloaded: %v", err)
		}
		if got := s.published(); got != "wx1 true" {
			t.Errorf("published are %s", got)
		}
		s.end()
	})
}

// TestSIGHUPThatFailed: the reload is tried again without another SIGHUP, though the
// configuration's file has not changed. A file that it names was missing.
func TestSIGHUPThatFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startSite(t, true, "wx1")
		if err := os.Remove(s.beside("secret")); err != nil {
			t.Fatal(err)
		}
		s.told <- os.Interrupt // any
		synctest.Wait()
		s.has("SIGHUP", map[string]float64{"wxbroker_config_in_use": 0})
		s.writeFile(s.beside("secret"), "secret")
		time.Sleep(5 * time.Second)
		synctest.Wait()
		s.has("five seconds later", map[string]float64{"wxbroker_config_in_use": 1})
		s.end()
	})
}

// TestClusterKeysOutliveAReload: a new configuration locks nobody out while the
// cluster's keys cannot be read again.
func TestClusterKeysOutliveAReload(t *testing.T) {
	cluster := clustertest.New(t, "one")
	var away atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if away.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		cluster.ServeHTTP(w, r)
	}))
	defer server.Close()
	s := newSite(t)
	kubernetes := fmt.Sprintf("kubernetes: {issuer: '%s', discovery_url: '%s'}\n", clustertest.Issuer, server.URL)
	const web = "apps:\n  - {name: web, identities: ['k8s:shop:web'], accounts: [wx1], grants: [sign]}\n"
	s.more = kubernetes + web
	s.start("wx1")
	conn := s.connect()
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+cluster.Token(t, "shop", "web"))
	check := func(when string) {
		t.Helper()
		if _, err := healthv1.NewHealthClient(conn).Check(ctx, new(healthv1.HealthCheckRequest)); err != nil {
			t.Errorf("%s: %v", when, err)
		}
	}
	check("at first")
	away.Store(true)
	s.more = kubernetes + strings.Replace(web, "[sign]", "[sign, token]", 1)
	s.write("wx1")
	if err := s.app.Reload(t.Context(), s.path, s.read()); err != nil {
		t.Fatal(err)
	}
	check("after the reload")
	s.end()
}

// TestReloadAndStop at the same time, in both orders.
func TestReloadAndStop(t *testing.T) {
	for _, tt := range []struct {
		name  string
		after time.Duration
	}{{"at once", 0}, {"while keepers end", time.Second}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := startSite(t, true, "wx1", "wx2")
				if err := s.sim.Inject(wechatsim.Fault{Kind: wechatsim.FaultHang, Path: wechatsim.PathTicket}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(10*time.Minute + time.Second)
				s.write("wx1 , limits: {token: 100}", "wx2", "wx3", "wx4")
				s.told <- os.Interrupt // any
				time.Sleep(tt.after)
				s.end()
			})
		})
	}
}
