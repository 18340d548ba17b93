package deploy

import (
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wxbroker/wxbroker/pkg/logtest"
	"github.com/wxbroker/wxbroker/tools/internal/programs"
)

// bin is where TestMain builds the programs.
var bin string

func TestMain(m *testing.M) { os.Exit(programs.Run(m, &bin)) }

// relocation says where the test has the directories and ports of an example.
type relocation struct {
	dirs  map[string]string // the test's directories, by the example's
	ports map[string]string // free ports, by the example's; several programs may share them
}

var portForm = regexp.MustCompile(`\b76[0-9]{2}\b`)

// text returns a text of an example with the test's ports and directories. Hosts stay as
// they are: who can reach an address, and which settings that takes, is part of the
// example.
func (m relocation) text(t *testing.T, s string) string {
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

// texts does the same for several texts.
func (m relocation) texts(t *testing.T, all []string) []string {
	t.Helper()
	var texts []string
	for _, s := range all {
		texts = append(texts, m.text(t, s))
	}
	return texts
}

// program says how a program is run.
type program struct {
	name      string
	args, env []string
	dir       string // the current one, "" for the test's own
}

// command returns the program as a command. Variables of this process do not configure
// it.
func (p program) command(ctx context.Context) *exec.Cmd {
	command := exec.CommandContext(ctx, filepath.Join(bin, p.name), p.args...)
	command.Env, command.Dir = append([]string{"PATH="}, p.env...), p.dir
	return command
}

// run runs the program to its end.
func (p program) run(t *testing.T) (output string, err error) {
	t.Helper()
	out, err := p.command(t.Context()).CombinedOutput()
	return string(out), err
}

// with returns the program with old replaced in its arguments and variables.
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
	output  logtest.Log
	done    chan struct{}
}

// start starts the program, and returns once it is up or has ended. Its ports were free
// when they were chosen. Another process may have taken one since, most likely for a
// short connection. Then the program is started again.
func (p program) start(t *testing.T) *process {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		started := p.launch(t)
		for ended := false; !ended && !strings.Contains(started.output.String(), ` is up"`); {
			select {
			case <-started.done:
				ended = true
			case <-deadline:
				t.Fatalf("%s: neither up nor at its end after %v", p.name, patience)
			case <-tick.C:
			}
		}
		if !strings.Contains(started.output.String(), "the address is in use by another program") {
			return started
		}
		select {
		case <-deadline:
			t.Fatalf("%s: a port is still in use after %v", p.name, patience)
		case <-tick.C:
		}
	}
}

// launch starts the program once.
func (p program) launch(t *testing.T) *process {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	started := &process{name: p.name, command: p.command(ctx), done: make(chan struct{})}
	started.command.Stdout, started.command.Stderr = &started.output, &started.output
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
			t.Logf("%s %s:\n%s", p.name, strings.Join(p.args, " "), started.output.String())
		}
	})
	return started
}

// patience bounds the wait for something that should happen in a moment.
const patience = 30 * time.Second

// await waits until is returns true.
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

// ready waits until the program says on its ops port that it is ready.
func (p *process) ready(t *testing.T, port string) {
	t.Helper()
	p.await(t, "it is ready", func() bool { return readyz(t, port) == http.StatusOK })
}

// says waits for a text in its log.
func (p *process) says(t *testing.T, text string) {
	t.Helper()
	p.await(t, "it says "+text, func() bool { return strings.Contains(p.output.String(), text) })
}

// readyz returns the HTTP status of /readyz, 0 without an answer.
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

// read returns the content of a file of the examples.
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

// contents returns the content of a file of the test.
func contents(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// edit changes a file of the test.
func edit(t *testing.T, path string, change func(string) string) {
	t.Helper()
	before := contents(t, path)
	after := change(before)
	if after == before {
		t.Fatalf("%s has nothing of what was to be changed", path)
	}
	write(t, path, after)
}
