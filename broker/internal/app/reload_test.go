package app

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/test/bufconn"

	"github.com/wxbroker/wxbroker/broker/internal/config"
	"github.com/wxbroker/wxbroker/broker/internal/store"
	"github.com/wxbroker/wxbroker/broker/internal/store/storetest"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/follow"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

// site is a broker in a bubble whose configuration a test changes.
type site struct {
	t    *testing.T
	sim  *wechatsim.Sim
	disk *storetest.Disk
	app  *App
	path string
	told chan os.Signal
	stop context.CancelFunc
	done chan error
}

// write writes a configuration with these accounts, each of which may be
// followed by more of its keys.
func (s *site) write(accounts ...string) {
	s.t.Helper()
	secret := filepath.Join(filepath.Dir(s.path), "secret")
	text := "upstreams: ['http://127.0.0.1:1']\naccounts:\n"
	for _, a := range accounts {
		appid, more, _ := strings.Cut(a, " ")
		text += fmt.Sprintf("  - {appid: %s, secret_file: '%s'%s}\n", appid, secret, more)
	}
	for path, content := range map[string]string{s.path: text, secret: "secret"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
}

// read reads the configuration as it is now.
func (s *site) read() follow.Contents {
	s.t.Helper()
	read, err := config.File(s.path).Read(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return read
}

func startSite(t *testing.T, following bool, accounts ...string) *site {
	t.Helper()
	s := &site{t: t, disk: new(storetest.Disk), path: filepath.Join(t.TempDir(), "wxbroker.yaml"), told: make(chan os.Signal, 1), done: make(chan error, 1)}
	var known []wechatsim.Account
	for i := range 5 {
		known = append(known, wechatsim.Account{AppID: fmt.Sprint("wx", i), Secret: "secret"})
	}
	s.sim = wechatsim.New(wechatsim.Config{Accounts: known})
	listener := bufconn.Listen(64 << 10)
	server := &http.Server{Handler: s.sim, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	s.write(accounts...)
	read := s.read()
	loaded, err := config.Parse(t.Context(), s.path, read)
	if err != nil {
		t.Fatal(err)
	}
	var followed *Followed
	if following {
		followed = &Followed{Path: s.path, Loaded: read.Fingerprint, Told: s.told}
	}
	ctx, cancel := context.WithCancel(t.Context())
	s.stop = cancel
	s.app, err = New(ctx, loaded, Options{
		Version: "test", Log: slog.New(slog.DiscardHandler), GRPC: bufconn.Listen(1 << 10), Ops: bufconn.Listen(1 << 10),
		Follow:     followed,
		OpenStore:  func(string, store.Keys) (store.Disk, store.Findings, error) { return s.disk, store.Findings{}, nil },
		DialWeChat: func(ctx context.Context, _, _ string) (net.Conn, error) { return listener.DialContext(ctx) },
	})
	if err != nil {
		t.Fatal(err)
	}
	go func() { s.done <- s.app.Run(ctx) }()
	synctest.Wait()
	return s
}

func (s *site) reload(accounts ...string) time.Duration {
	s.t.Helper()
	s.write(accounts...)
	start := time.Now()
	if err := s.app.Reload(s.t.Context(), s.path, s.read()); err != nil {
		s.t.Error(err)
	}
	took := time.Since(start)
	synctest.Wait()
	return took
}

// published returns what edges may see, by appid, with how many tickets.
func (s *site) published() string {
	var all []string
	for _, a := range s.app.states.Current(nil).Accounts {
		_, has := a.Credential(credential.JSAPITicket)
		all = append(all, fmt.Sprint(a.AppID, " ", has))
	}
	return strings.Join(all, ", ")
}

func (s *site) end() {
	s.t.Helper()
	s.stop()
	if err := <-s.done; err != nil {
		s.t.Error(err)
	}
}

// TestAccountsComeAndGo: one that did not change is not touched.
func TestAccountsComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startSite(t, false, "wx1", "wx2")
		kept := s.app.accounts.keeper("wx1")
		s.reload("wx1", "wx3")
		if got := s.published(); got != "wx1 true, wx3 true" {
			t.Errorf("published are %s", got)
		}
		if s.app.accounts.keeper("wx1") != kept {
			t.Error("an account that did not change has another keeper")
		}
		s.reload("wx1 , sign_hosts: [a.example.com]", "wx3")
		if s.app.accounts.keeper("wx1") != kept {
			t.Error("a change of policy is a keeper's business")
		}
		if got := s.app.states.Current([]string{"wx1"}).Accounts[0].SignHosts.Strings(); len(got) != 1 {
			t.Errorf("sign_hosts %q", got)
		}
		s.reload("wx1 , tickets: []", "wx3")
		if s.app.accounts.keeper("wx1") == kept {
			t.Error("an account whose credentials are kept otherwise has its old keeper")
		}
		s.end()
	})
}

// TestReloadBesideACall to WeChat that does not come back: what was removed is
// gone at once, what is new is there at once, and the call has its few seconds.
func TestReloadBesideACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startSite(t, false, "wx1", "wx2")
		if err := s.sim.Inject(wechatsim.Fault{Kind: wechatsim.FaultHang, Path: wechatsim.PathTicket}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10*time.Minute + time.Second) // the tickets are being read again
		s.write("wx2", "wx3")
		reloaded := make(chan error, 1)
		start := time.Now()
		read := s.read()
		go func() { reloaded <- s.app.Reload(t.Context(), s.path, read) }()
		synctest.Wait()
		if got := s.published(); got != "wx2 true, wx3 false" {
			t.Errorf("at once published are %s", got)
		}
		if err := <-reloaded; err != nil || time.Since(start) != 0 {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		if got := s.published(); got != "wx2 true, wx3 false" {
			t.Errorf("afterwards published are %s", got)
		}
		s.end()
	})
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
				s.write("wx1 , sign_hosts: [a.example.com]", "wx2", "wx3", "wx4")
				s.told <- os.Interrupt // any
				time.Sleep(tt.after)
				s.end()
			})
		})
	}
}
