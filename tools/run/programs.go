package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// programs are the processes that were started. When one ends, all do.
type programs struct {
	ctx     context.Context
	failed  context.CancelCauseFunc
	running sync.WaitGroup
	log     sync.Mutex
}

// start runs a program from bin/ until the context ends, and copies its log to ours. The
// program gets our environment without the secret, and the variables in env.
func (p *programs) start(name string, env []string, args ...string) {
	command := exec.CommandContext(p.ctx, filepath.Join("bin", name), args...) //nolint:gosec // names and arguments are this program's own
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "WX_APPSECRET=") {
			command.Env = append(command.Env, variable)
		}
	}
	command.Env = append(command.Env, env...)
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = 10 * time.Second
	read, write := io.Pipe()
	command.Stdout, command.Stderr = write, write
	p.running.Go(func() { p.copyLines(name, read) })
	p.running.Go(func() {
		err := command.Run()
		_ = write.Close()
		if p.ctx.Err() == nil {
			p.failed(fmt.Errorf("%s ended: %w: its last line says why; is something else running on its port?", name, orEnd(err)))
		}
	})
}

func orEnd(err error) error {
	if err == nil {
		return io.EOF
	}
	return err
}

// copyLines writes each line with the program's name before it.
func (p *programs) copyLines(name string, from io.Reader) {
	lines := bufio.NewScanner(from)
	for lines.Scan() {
		p.log.Lock()
		fmt.Fprintf(os.Stderr, "%-8s | %s\n", name, lines.Text())
		p.log.Unlock()
	}
	_, _ = io.Copy(io.Discard, from) // after a line that is too long, nothing more is shown
}

// wait returns when all have ended.
func (p *programs) wait() { p.running.Wait() }
