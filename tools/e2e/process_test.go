package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wxbroker/wxbroker/edge/edgetest"
	"github.com/wxbroker/wxbroker/tools/internal/programs"
)

// bin is where TestMain builds the programs.
var bin string

func TestMain(m *testing.M) { os.Exit(programs.Run(m, &bin)) }

// process is a program that runs.
type process struct {
	command *exec.Cmd
	log     io.ReadCloser
	reading sync.Mutex // held while nobody may read the log
	done    chan struct{}
	// patience is how long says waits.
	patience time.Duration

	mu    sync.Mutex
	said  []string      // its log; needs no mu once the program has ended
	heard int           // how many of those lines says and rest have used
	more  chan struct{} // holds something when there may be new lines
}

// start runs a program from bin until the test's end.
func start(t *testing.T, name string, args ...string) *process {
	t.Helper()
	return run(t, nil, filepath.Join(bin, name), args...)
}

// run is start for any program, with a standard input.
func run(t *testing.T, stdin io.Reader, path string, args ...string) *process {
	t.Helper()
	command := exec.CommandContext(t.Context(), path, args...)
	command.Stdin = stdin
	log, err := command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{command: command, log: log, done: make(chan struct{}), patience: 20 * time.Second, more: make(chan struct{}, 1)}
	go func() {
		defer close(p.done)
		for reader := bufio.NewReader(log); ; { // however long a line is
			p.reading.Lock()
			line, err := reader.ReadString('\n')
			p.reading.Unlock()
			if line != "" {
				p.note(strings.TrimSuffix(line, "\n"))
			}
			if err != nil {
				break // it has ended
			}
		}
		_ = command.Wait() // a test that cares how it ended looks at ProcessState
	}()
	t.Cleanup(func() { p.end(os.Kill) })
	return p
}

// note takes a line of the log.
func (p *process) note(line string) {
	p.mu.Lock()
	p.said = append(p.said, line)
	p.mu.Unlock()
	select {
	case p.more <- struct{}{}:
	default: // there is something already: the next reader sees this line as well
	}
}

// end sends a signal and waits for the end.
func (p *process) end(signal os.Signal) {
	_ = p.command.Process.Signal(signal) // it may have ended
	<-p.done
}

// says waits for a line of the log that matches, and returns the match.
func (p *process) says(t *testing.T, pattern string) []string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	patience := time.After(p.patience)
	for ended := false; ; {
		if m := p.find(re); m != nil {
			return m
		}
		if ended {
			t.Fatalf("%s ended and never said %s: %s", filepath.Base(p.command.Path), pattern, strings.Join(p.said, "\n"))
		}
		select {
		case <-p.more:
		case <-p.done:
			ended = true // there may be last lines
		case <-patience:
			t.Fatalf("%s never said %s", filepath.Base(p.command.Path), pattern)
		}
	}
}

// find returns the match of the first matching line that was not used yet. The lines up to
// that one count as used then.
func (p *process) find(re *regexp.Regexp) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.heard < len(p.said) {
		p.heard++
		if m := re.FindStringSubmatch(p.said[p.heard-1]); m != nil {
			return m
		}
	}
	return nil
}

// saidSoFar returns all lines of the log.
func (p *process) saidSoFar() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.said)
}

// rest returns the lines of the log that were not used yet.
func (p *process) rest() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	rest := p.said[p.heard:]
	p.heard = len(p.said)
	return strings.Join(rest, "\n")
}

// until calls isSo, with a pause between two calls, until that returns true. It returns
// false when ctx ends before that.
func until(ctx context.Context, isSo func() bool) bool {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !isSo() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

func get(ctx context.Context, address string) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, body, err
}

// TestKilledBroker runs the real programs. The broker is killed by SIGKILL again and again
// while an edge signs. WeChat accepts every signature and sees no additional call.
// Rotations after the last restart arrive.
func TestKilledBroker(t *testing.T) {
	dir := t.TempDir()
	sim := start(t, "wxsim", "--listen", "127.0.0.1:0", "--appid", appid, "--secret", secret)
	simAddress := sim.says(t, `addr=(\S+)`)[1]

	broker := start(t, "wxbroker", "serve", "--config", configure(t, dir, simAddress, "127.0.0.1:0"))
	brokerAddress := broker.says(t, `"broker is up" grpc=(\S+)`)[1]
	config := configure(t, dir, simAddress, brokerAddress) // from now on at the address where the edge looks for it

	edge := start(t, "wxedge", "serve", "--broker", brokerAddress, "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0")
	addresses := edge.says(t, `"edge is up" listen=(\S+) ops=(\S+)`)
	edge.says(t, `holding .*kind=jsapi_ticket`)
	if status, body, err := get(t.Context(), "http://"+addresses[2]+"/readyz"); status != http.StatusOK {
		t.Fatalf("the edge holds a ticket and is not ready: %d %s %v", status, body, err)
	}
	calls := simCalls(t, simAddress)

	site := &pages{edge: addresses[1], sim: simAddress}
	stopSigning := site.open(t.Context(), 4)
	for range 5 {
		site.more(t.Context(), 100)
		broker.end(os.Kill)
		site.more(t.Context(), 100)
		broker = start(t, "wxbroker", "serve", "--config", config)
		broker.says(t, `"edge connected"`)
	}
	if now := simCalls(t, simAddress); now != calls {
		t.Errorf("five restarts changed the calls that WeChat saw from %s to %s", calls, now)
	}
	site.more(t.Context(), 100)
	stopSigning()
	site.judge(t)

	edge.end(os.Interrupt)
	broker.end(os.Interrupt)
	for _, p := range []*process{edge, broker} {
		if code := p.command.ProcessState.ExitCode(); code != 0 {
			t.Errorf("%s ended with %d on SIGINT: %s", filepath.Base(p.command.Path), code, p.rest())
		}
	}
}

// configure writes the broker's configuration into dir, with further accounts
// that have the same secret.
func configure(t *testing.T, dir, simAddress, grpc string, further ...string) string {
	t.Helper()
	path := filepath.Join(dir, "wxbroker.yaml")
	text := fmt.Sprintf("data: %q\nlisten: {grpc: %q, ops: 127.0.0.1:0}\nupstreams: [%q]\naccounts:\n",
		filepath.Join(dir, "wxbroker.db"), grpc, "http://"+simAddress)
	for _, id := range append([]string{appid}, further...) {
		text += fmt.Sprintf("- {appid: %s, secret_file: %q}\n", id, filepath.Join(dir, "secret"))
	}
	for name, content := range map[string]string{path: text, filepath.Join(dir, "secret"): secret} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// TestTwoHundredEdgesOverTCP is TestTwoHundredEdges with a real broker, a real
// WeChat and real sockets.
func TestTwoHundredEdgesOverTCP(t *testing.T) {
	sim := start(t, "wxsim", "--listen", "127.0.0.1:0", "--appid", appid, "--secret", secret)
	simAddress := sim.says(t, `addr=(\S+)`)[1]
	broker := start(t, "wxbroker", "serve", "--config", configure(t, t.TempDir(), simAddress, "127.0.0.1:0"))
	address := broker.says(t, `"broker is up" grpc=(\S+)`)[1]

	var edges [200]*edgetest.Edge
	for i := range edges {
		edges[i] = edgetest.Start(t, edgetest.Config{
			Name: fmt.Sprintf("edge-%d", i), Clock: time.Now, Log: quiet,
			Dial: func(ctx context.Context) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "tcp", address)
			},
		})
	}
	patience := time.After(20 * time.Second)
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for i, e := range edges {
		for e.Ready() != nil {
			select {
			case <-poll.C:
			case <-patience:
				t.Fatalf("edge %d: %v", i, e.Ready())
			}
		}
	}
	var calls []struct {
		API   string
		Count int
	}
	if err := json.Unmarshal([]byte(simCalls(t, simAddress)), &calls); err != nil {
		t.Fatal(err)
	}
	if len(calls) != 2 || calls[0].Count != 1 || calls[1].Count != 1 {
		t.Errorf("WeChat saw %+v, want one token call and one ticket call", calls)
	}
}

// TestTruncatedDatabase: the broker is killed and most of its file is gone. It starts by
// itself, and what it fetches is newer than what the edge holds.
func TestTruncatedDatabase(t *testing.T) {
	dir := t.TempDir()
	sim := start(t, "wxsim", "--listen", "127.0.0.1:0", "--appid", appid, "--secret", secret)
	simAddress := sim.says(t, `addr=(\S+)`)[1]
	broker := start(t, "wxbroker", "serve", "--config", configure(t, dir, simAddress, "127.0.0.1:0"))
	address := broker.says(t, `"broker is up" grpc=(\S+)`)[1]
	edge := start(t, "wxedge", "serve", "--broker", address, "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0")
	site := &pages{edge: edge.says(t, `"edge is up" listen=(\S+)`)[1], sim: simAddress}
	before := edge.says(t, `holding .*kind=jsapi_ticket version=(\d+)`)[1]

	broker.end(os.Kill)
	database := filepath.Join(dir, "wxbroker.db")
	// bbolt's two meta pages and one more: less than any database in use.
	if err := os.Truncate(database, int64(3*os.Getpagesize())); err != nil {
		t.Fatal(err)
	}
	site.more(t.Context(), 50)
	broker = start(t, "wxbroker", "serve", "--config", configure(t, dir, simAddress, address))
	broker.says(t, `damaged and is set aside`)
	after := edge.says(t, `holding .*kind=jsapi_ticket version=(\d+)`)[1]
	if len(after) < len(before) || after <= before { // versions have equally many digits until the year 2286
		t.Errorf("version %s is not above %s", after, before)
	}
	site.more(t.Context(), 50)
	site.judge(t)
}

// control makes the simulator do something.
func control(t *testing.T, simAddress, path, body string) []byte {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+simAddress+path, strings.NewReader(body))
	must(t, err)
	response, err := http.DefaultClient.Do(request)
	must(t, err)
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	must(t, err)
	if response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", path, answer)
	}
	return answer
}

// simCalls returns the simulator's counters as it prints them.
func simCalls(t *testing.T, address string) string {
	t.Helper()
	_, body, err := get(t.Context(), "http://"+address+"/sim/state?appid="+appid)
	if err != nil {
		t.Fatal(err)
	}
	var state struct{ Calls json.RawMessage }
	if err := json.Unmarshal(body, &state); err != nil || len(state.Calls) == 0 {
		t.Fatalf("the simulator's state %s: %v", body, err)
	}
	return string(state.Calls)
}
