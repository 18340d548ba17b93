package deploy

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

// brokerConfig has the keys of the broker's configuration that a test moves.
// Strictness is the broker's business.
type brokerConfig struct {
	Listen   struct{ GRPC, Ops string }
	Accounts []struct {
		AppID      string
		SecretFile string `yaml:"secret_file"`
	}
}

// started bounds how long a program may take until it is ready.
const started = 30 * time.Second

func TestExamplesStart(t *testing.T) {
	bin := t.TempDir()
	build := exec.Command("go", "build", "-o", bin, "../../broker/cmd/wxbroker", "../../edge/cmd/wxedge")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the programs: %v\n%s", err, out)
	}
	t.Run("systemd", func(t *testing.T) {
		m := mover{}
		startBroker(t, bin, m, "systemd/wxbroker.yaml")
		env := []string{}
		for line := range strings.Lines(string(read(t, "systemd/wxedge.env"))) {
			if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
				key, value, _ := strings.Cut(line, "=")
				env = append(env, key+"="+m.move(t, value))
			}
		}
		start(t, env, bin+"/wxedge", "serve").ready(t, m["7611"])
	})
	t.Run("kubernetes", func(t *testing.T) {
		m := mover{}
		startBroker(t, bin, m, "kubernetes/wxbroker.yaml")
		edge := manifests(t, "kubernetes/example-app.yaml")["Deployment"].Spec.Template.Spec.InitContainers[0]
		args := []string{}
		for _, arg := range edge.Args {
			args = append(args, m.move(t, strings.Replace(arg, "=wxbroker:", "=127.0.0.1:", 1)))
		}
		start(t, nil, bin+"/wxedge", args...).ready(t, m["7611"])
	})
}

// startBroker starts a broker with an example's configuration, moved to free
// ports, a directory of the test and a simulated WeChat.
func startBroker(t *testing.T, bin string, m mover, example string) {
	t.Helper()
	const secret = "0123456789abcdef0123456789abcdef"
	var config map[string]any
	var known brokerConfig
	decode(t, example, &config)
	decode(t, example, &known)

	dir := t.TempDir()
	secretFile := filepath.Join(dir, "appsecret")
	if err := os.WriteFile(secretFile, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	sim := wechatsim.New(wechatsim.Config{})
	for i, a := range known.Accounts {
		sim.AddAccount(wechatsim.Account{AppID: a.AppID, Secret: secret})
		config["accounts"].([]any)[i].(map[string]any)["secret_file"] = secretFile
	}
	wechat := httptest.NewServer(sim)
	t.Cleanup(wechat.Close)
	config["upstreams"] = []string{wechat.URL}
	config["data"] = filepath.Join(dir, "wxbroker.db")
	config["listen"] = map[string]string{"grpc": m.move(t, known.Listen.GRPC), "ops": m.move(t, known.Listen.Ops)}

	moved, err := yaml.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "wxbroker.yaml")
	if err := os.WriteFile(path, moved, 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, nil, bin+"/wxbroker", "serve", "--config", path).ready(t, m["7601"])
}

// mover replaces the default ports in what an example says by free ones, the
// same one for the same port. Hosts stay: which address is plaintext, and what
// has to be said for that, is part of the example.
type mover map[string]string

func (m mover) move(t *testing.T, s string) string {
	t.Helper()
	i := strings.LastIndex(s, ":76")
	if i < 0 || len(s) != i+len(":7600") {
		return s
	}
	port := s[i+1:]
	if m[port] == "" {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_, m[port], _ = net.SplitHostPort(l.Addr().String())
		_ = l.Close()
	}
	return s[:i+1] + m[port]
}

// process is a program that runs until the test's end.
type process struct {
	name string
	done chan struct{}
	log  bytes.Buffer // may be read once done
}

func start(t *testing.T, env []string, name string, args ...string) *process {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	p := &process{name: filepath.Base(name), done: make(chan struct{})}
	command := exec.CommandContext(ctx, name, args...)
	command.Env = append(env, "PATH=") // nothing of ours may configure it
	command.Stdout, command.Stderr = &p.log, &p.log
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = 20 * time.Second
	if err := command.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		_ = command.Wait() // its log says why
	}()
	t.Cleanup(func() {
		cancel()
		<-p.done
		if t.Failed() {
			t.Logf("%s %s:\n%s", p.name, strings.Join(args, " "), p.log.String())
		}
	})
	return p
}

// ready waits until the program says on its ops port that it is.
func (p *process) ready(t *testing.T, port string) {
	t.Helper()
	deadline := time.After(started)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-p.done:
			t.Fatalf("%s ended before it was ready", p.name)
		case <-deadline:
			t.Fatalf("%s is not ready after %v", p.name, started)
		case <-tick.C:
		}
		resp, err := http.Get("http://127.0.0.1:" + port + "/readyz")
		if err != nil {
			continue
		}
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return
		}
	}
}
