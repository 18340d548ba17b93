package deploy

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// bin is where TestMain builds the programs.
var bin string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "wxbroker-deploy-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		bin = dir + "/"
		build := exec.Command("go", "build", "-o", bin, "../../broker/cmd/wxbroker", "../../edge/cmd/wxedge", "../../pkg/cmd/wxsim")
		build.Stdout, build.Stderr = os.Stderr, os.Stderr
		if err := build.Run(); err != nil {
			fmt.Fprintln(os.Stderr, "building the programs:", err)
			return 1
		}
		return m.Run()
	}())
}

// moved says where the test has what an example names.
type moved struct {
	dirs  map[string]string // the test's, by the example's
	ports map[string]string // free ones, by the example's; several programs may share them
}

var portForm = regexp.MustCompile(`\b76[0-9]{2}\b`)

// text returns what an example says, with ports and directories moved. Hosts
// stay: who can reach an address, and what has to be said for that, is part of
// the example.
func (m moved) text(t *testing.T, s string) string {
	t.Helper()
	s = portForm.ReplaceAllStringFunc(s, func(port string) string {
		if m.ports[port] == "" {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			_, m.ports[port], _ = net.SplitHostPort(l.Addr().String())
			_ = l.Close()
		}
		return m.ports[port]
	})
	for from, to := range m.dirs {
		s = strings.ReplaceAll(s, from+"/", to+"/")
	}
	return s
}

// texts does it for several.
func (m moved) texts(t *testing.T, all []string) []string {
	t.Helper()
	var texts []string
	for _, s := range all {
		texts = append(texts, m.text(t, s))
	}
	return texts
}

// program is how one is run.
type program struct {
	name      string
	args, env []string
	dir       string // the current one, "" for the test's own
}

// command returns it as something to run. Nothing of ours configures it.
func (p program) command(ctx context.Context) *exec.Cmd {
	command := exec.CommandContext(ctx, bin+p.name, p.args...)
	command.Env, command.Dir = append([]string{"PATH="}, p.env...), p.dir
	return command
}

// run runs it to its end.
func (p program) run(t *testing.T) (output string, err error) {
	t.Helper()
	out, err := p.command(t.Context()).CombinedOutput()
	return string(out), err
}

// with returns the program with one word in place of another, in its arguments
// and variables.
func (p program) with(old, replacement string) program {
	replaced := func(all []string) []string {
		var changed []string
		for _, s := range all {
			changed = append(changed, strings.ReplaceAll(s, old, replacement))
		}
		return changed
	}
	p.args, p.env = replaced(p.args), replaced(p.env)
	return p
}

// process is a program that runs until the test's end.
type process struct {
	name    string
	command *exec.Cmd
	done    chan struct{}

	mu  sync.Mutex
	log bytes.Buffer
}

// Write takes the process's output.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.Write(b)
}

func (p *process) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// start starts it, and returns once it is up or has ended. Its ports were free
// when they were chosen. Another process may have got one since, most likely
// for a connection that does not last, so it is started again then.
func (p program) start(t *testing.T) *process {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		started := p.launch(t)
		for ended := false; !ended && !strings.Contains(started.said(), ` is up"`); {
			select {
			case <-started.done:
				ended = true
			case <-deadline:
				t.Fatalf("%s: neither up nor at its end after %v", p.name, patience)
			case <-tick.C:
			}
		}
		if !strings.Contains(started.said(), "the address is in use by another program") {
			return started
		}
		select {
		case <-deadline:
			t.Fatalf("%s: a port is still in use after %v", p.name, patience)
		case <-tick.C:
		}
	}
}

// launch starts it once.
func (p program) launch(t *testing.T) *process {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	started := &process{name: p.name, command: p.command(ctx), done: make(chan struct{})}
	started.command.Stdout, started.command.Stderr = started, started
	started.command.Cancel = func() error { return started.command.Process.Signal(syscall.SIGTERM) }
	started.command.WaitDelay = 20 * time.Second
	if err := started.command.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	go func() {
		defer close(started.done)
		_ = started.command.Wait() // its log says why
	}()
	t.Cleanup(func() {
		cancel()
		<-started.done
		if t.Failed() {
			t.Logf("%s %s:\n%s", p.name, strings.Join(p.args, " "), started.said())
		}
	})
	return started
}

// patience bounds how long something may take that happens in a moment.
const patience = 30 * time.Second

// await waits until what is true.
func (p *process) await(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-p.done:
			t.Fatalf("%s ended: %s", p.name, what)
		case <-deadline:
			t.Fatalf("%s: not after %v: %s", p.name, patience, what)
		case <-tick.C:
		}
	}
}

// ready waits until the program says on its ops port that it is.
func (p *process) ready(t *testing.T, port string) {
	t.Helper()
	p.await(t, "it is ready", func() bool { return readyz(t, port) == http.StatusOK })
}

// says waits for a text in its log.
func (p *process) says(t *testing.T, text string) {
	t.Helper()
	p.await(t, "it says "+text, func() bool { return strings.Contains(p.said(), text) })
}

// readyz returns the status of that page, 0 for none.
func readyz(t *testing.T, port string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1:"+port+"/readyz", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0
	}
	_ = response.Body.Close()
	return response.StatusCode
}

const root = "../../deploy"

// read returns what a file of the examples has.
func read(t *testing.T, path string) string {
	t.Helper()
	return contents(t, filepath.Join(root, path))
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// contents returns what a file of the test has.
func contents(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// edit changes one.
func edit(t *testing.T, path string, change func(string) string) {
	t.Helper()
	before := contents(t, path)
	after := change(before)
	if after == before {
		t.Fatalf("%s has nothing of what was to be changed", path)
	}
	write(t, path, after)
}
