package app

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/config"
	"github.com/wxbroker/wxbroker/broker/internal/store"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/logtest"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

// The steps of a call, between which a broker may die.
const (
	beforeCount   = "before it is counted"
	beforeSend    = "counted, and not sent"
	beforeRead    = "answered, and not read"
	beforeStore   = "answered, and not stored"
	beforePublish = "stored, and not published"
	afterPublish  = "published"
)

// killer kills its own process at a step of the second call for the token.
type killer struct {
	store.Disk
	step  string
	calls atomic.Int32 // calls that were counted, or are about to be
}

func (k *killer) at(step string) {
	if k.step == step && k.calls.Load() == 2 {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

// Put implements [store.Disk].
func (k *killer) Put(values store.Values) error {
	counts, answer := false, false
	for at := range values {
		counts = counts || at.Key == "budget/token" || at.Key == "budget/stable_token"
		answer = answer || at.Key == string(credential.AccessToken)
	}
	switch {
	case answer:
		k.at(beforeStore)
	case counts:
		k.calls.Add(1)
		k.at(beforeCount)
	}
	err := k.Disk.Put(values)
	switch {
	case answer:
		k.at(beforePublish)
	case counts:
		k.at(beforeSend)
	}
	return err
}

// killingConn is a connection to WeChat.
type killingConn struct {
	net.Conn
	*killer
}

func (c killingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.at(beforeRead) // WeChat has answered, and nobody has read the answer
	}
	return n, err
}

// killed runs a broker until it kills itself. The first argument is the path of the
// configuration, the second is the step.
func killed() {
	ctx, k := context.Background(), &killer{step: os.Args[2]}
	loaded, err := config.Load(ctx, os.Args[1])
	if err != nil {
		panic(err)
	}
	a, err := New(ctx, loaded, Options{
		Version: "test", Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
		OpenStore: func(path string, keys store.Keys) (store.Disk, store.Findings, error) {
			opened, found, err := store.Open(path, keys)
			k.Disk = opened
			return k, found, err
		},
		DialWeChat: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, address)
			return killingConn{conn, k}, err
		},
	})
	if err != nil {
		panic(err)
	}
	go func() {
		for published := int64(0); ; {
			changed := a.states.Changed()
			state, _ := a.states.Account("wx1")
			if token, ok := state.Credential(credential.AccessToken); ok && published != 0 && token.Version != published {
				k.at(afterPublish)
			} else if ok {
				published = token.Version
			}
			<-changed
		}
	}()
	panic(a.Run(ctx))
}

// TestKilledBetweenTwoSteps: SIGKILL at each step of a call for the token. The
// next broker finds out whether an answer may have been lost, blames nobody else
// for it, and publishes a token that WeChat honours, at a version that no other
// value can have had.
func TestKilledBetweenTwoSteps(t *testing.T) {
	t.Parallel()
	self := filepath.Join(t.TempDir(), "wxbroker-killed") // TestMain knows the name
	if err := os.Symlink(os.Args[0], self); err != nil {
		t.Fatal(err)
	}
	for _, api := range []string{"classic", "stable"} {
		for _, tt := range []struct {
			step string
			open bool // whether the call's intent is open
		}{
			{beforeCount, false},
			{beforeSend, true},
			{beforeRead, true},
			{beforeStore, true},
			{beforePublish, false},
			{afterPublish, false},
		} {
			t.Run(api+", "+tt.step, func(t *testing.T) {
				t.Parallel()
				sim := wechatsim.New(wechatsim.Config{
					Accounts: []wechatsim.Account{{AppID: "wx1", Secret: "secret"}},
					Settings: wechatsim.Settings{TokenLifetime: 4 * time.Second, StableWindow: 3 * time.Second},
				})
				wechat := httptest.NewServer(sim)
				defer wechat.Close()
				dir := t.TempDir()
				path := writeConfiguration(t, dir, wechat.URL, api)
				child := exec.CommandContext(t.Context(), self, path, tt.step)
				out, _ := child.CombinedOutput() // it says "killed"
				if status, ok := child.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
					t.Fatalf("it ended otherwise: %v: %s", child.ProcessState, out)
				}
				calls, sent := tokenCalls(sim), 2
				if tt.step == beforeCount || tt.step == beforeSend {
					sent = 1
				}
				if calls != sent {
					t.Fatalf("WeChat has seen %d token calls, want %d: this shows something else", calls, sent)
				}
				reserved, stored := intentOf(t, filepath.Join(dir, "wxbroker.db"))
				if (reserved != 0) != tt.open {
					t.Errorf("an intent is open: %v", reserved != 0)
				}

				token, log := tokenAfter(t, path, func(c credential.Credential) bool {
					asked := !tt.open || tokenCalls(sim) > calls // a broker that finds an open intent asks at once
					return asked && sim.TokenAlive(c.Value.Reveal()) && (api == "stable" || !tt.open || c.Version > reserved)
				})
				same := token.Value.Reveal() == stored.Value
				if same && token.Version != stored.Version {
					t.Errorf("the stored value has got version %d, and was stored with %d", token.Version, stored.Version)
				}
				if !same && token.Version <= max(reserved, stored.Version) {
					t.Errorf("a new value has version %d, which is not above %d (reserved) and %d (stored)", token.Version, reserved, stored.Version)
				}
				if strings.Contains(log, "before its time") {
					t.Errorf("somebody else is blamed: %s", log)
				}
				if said := strings.Contains(log, "a call was under way when the broker ended"); said != tt.open {
					t.Errorf("it says that a call was under way: %v", said)
				}
				if n := tokenCalls(sim) - calls; n > 1 {
					t.Errorf("%d more token calls were made", n)
				}
			})
		}
	}
}

func writeConfiguration(t *testing.T, dir, wechat, api string) (path string) {
	t.Helper()
	path = filepath.Join(dir, "wxbroker.yaml")
	text := fmt.Sprintf("data: '%s'\nlisten: {grpc: 127.0.0.1:0, ops: 127.0.0.1:0}\nupstreams: ['%s']\naccounts: [{appid: wx1, secret_file: '%s', token_api: %s}]\n",
		filepath.Join(dir, "wxbroker.db"), wechat, filepath.Join(dir, "secret"), api)
	for path, content := range map[string]string{path: text, filepath.Join(dir, "secret"): "secret"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// tokenCalls counts WeChat's answers to calls for a token.
func tokenCalls(sim *wechatsim.Sim) int {
	return sim.Count(wechatsim.Call{AppID: "wx1", API: wechatsim.PathToken}) + sim.Count(wechatsim.Call{AppID: "wx1", API: wechatsim.PathStableToken})
}

// tokenRecord is the part of a token's record that these tests read.
type tokenRecord struct {
	Value   string
	Version int64
}

// intentOf returns the version that an open intent has reserved for a token, 0 if no
// intent is open, and the token that is stored.
func intentOf(t *testing.T, path string) (reserved int64, stored tokenRecord) {
	t.Helper()
	s, _, err := store.Open(path, store.Keys{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	all, err := s.All("wx1")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(all["access_token"], &stored); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"budget/token", "budget/stable_token"} {
		var counts struct {
			Open map[string]struct{ Version int64 }
		}
		if raw, ok := all[key]; ok && json.Unmarshal(raw, &counts) == nil {
			reserved = max(reserved, counts.Open["access_token"].Version)
		}
	}
	return reserved, stored
}

// tokenAfter runs a broker with the configuration at path until it has published a
// token that WeChat honours. It returns the token and what the broker logged.
func tokenAfter(t *testing.T, path string, honours func(credential.Credential) bool) (credential.Credential, string) {
	t.Helper()
	loaded, err := config.Load(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	var log logtest.Log
	a, err := New(t.Context(), loaded, Options{Version: "test", Log: log.Logger()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	patience := time.After(20 * time.Second)
	for {
		changed := a.states.Changed()
		state, _ := a.states.Account("wx1")
		token, ok := state.Credential(credential.AccessToken)
		if ok && honours(token) {
			stop()
			if err := <-done; err != nil {
				t.Error(err)
			}
			return token, log.String()
		}
		select {
		case <-changed:
		case <-patience:
			t.Fatalf("there is no token that WeChat honours: %s", log.String())
		}
	}
}
