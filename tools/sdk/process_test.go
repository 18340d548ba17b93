package sdk

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/wxbroker/wxbroker/pkg/logtest"
)

// patience bounds every wait.
const patience = 30 * time.Second

// process is a program that runs.
type process struct {
	command *exec.Cmd
	log     *logtest.Log
	done    chan struct{} // closed when it has ended
}

// start runs a program from bin until the test's end.
func start(t *testing.T, name string, args ...string) *process {
	t.Helper()
	p := &process{command: exec.CommandContext(t.Context(), filepath.Join(bin, name), args...), log: new(logtest.Log)}
	p.command.Stderr = p.log
	p.begin(t)
	return p
}

func (p *process) begin(t *testing.T) {
	t.Helper()
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	p.done = make(chan struct{})
	go func() {
		defer close(p.done)
		_ = p.command.Wait() // a test that cares how it ended looks at ProcessState
	}()
	t.Cleanup(func() { p.end(os.Kill) })
}

// end sends a signal, waits for the end and returns the exit code.
func (p *process) end(signal os.Signal) int {
	_ = p.command.Process.Signal(signal) // it may have ended
	<-p.done
	return p.command.ProcessState.ExitCode()
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// says waits until the log matches, and returns the match.
func (p *process) says(t *testing.T, pattern string) (match []string) {
	t.Helper()
	re := regexp.MustCompile(pattern)
	if !p.until(t, func() bool { match = re.FindStringSubmatch(p.log.String()); return match != nil }) {
		t.Fatalf("%s never said %s:\n%s", filepath.Base(p.command.Path), pattern, p.log)
	}
	return match
}

// until waits until isSo returns true. It returns false if the program ends, or the time
// of patience is over, before that.
func (p *process) until(t *testing.T, isSo func() bool) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !isSo() {
		select {
		case <-tick.C:
		case <-p.done:
			return isSo() // with the last lines of its log
		case <-ctx.Done():
			return false
		}
	}
	return true
}
