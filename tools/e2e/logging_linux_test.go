package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// logWorld has a broker and an edge with so many accounts and such short lives that each
// writes dozens of lines a second, into pipes that hold 4096 bytes.
type logWorld struct {
	broker, edge *process
	ops          map[*process]string // addresses
	site         *pages
	last         string // the appid of the last account
}

func startLogging(t *testing.T) *logWorld {
	t.Helper()
	t.Parallel() // it mostly waits
	const accounts = 40
	var further, simAccounts []string
	for i := range accounts - 1 {
		further = append(further, fmt.Sprintf("wx%016x", i))
		simAccounts = append(simAccounts, "--account", further[i]+":"+secret)
	}
	sim := start(t, "wxsim", append(simAccounts, "--listen", "127.0.0.1:0", "--appid", appid, "--secret", secret,
		"--token-lifetime", "4s", "--stable-window", "3s", "--ticket-lifetime", "3s", "--ticket-overlap", "2500ms")...)
	l := &logWorld{site: &pages{sim: sim.says(t, `addr=(\S+)`)[1], appid: appid}, ops: map[*process]string{}, last: further[accounts-2]}
	l.broker = start(t, "wxbroker", "serve", "--log-level", "debug", "--config", configure(t, t.TempDir(), l.site.sim, "127.0.0.1:0", further...))
	up := l.broker.says(t, `"broker is up" grpc=(\S+) ops=(\S+)`)
	l.edge = start(t, "wxedge", "serve", "--broker", up[1], "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0")
	l.ops[l.broker] = up[2]
	up = l.edge.says(t, `"edge is up" listen=(\S+) ops=(\S+)`)
	l.site.edge, l.ops[l.edge] = up[1], up[2]
	l.edge.says(t, `holding appid=`+appid+` kind=jsapi_ticket`)
	for p := range l.ops {
		pipe, ok := p.log.(*os.File)
		if !ok {
			t.Fatalf("the log is a %T", p.log)
		}
		// While more than that waits in the pipe to be read, it cannot shrink.
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		var err error
		until(ctx, func() bool {
			_, err = unix.FcntlInt(pipe.Fd(), unix.F_SETPIPE_SZ, 4096)
			return !errors.Is(err, unix.EBUSY)
		})
		cancel()
		if err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// goesOn checks that both programs work while nobody reads their logs. They log many times
// what the pipes hold, and all rotations reach the pages.
func (l *logWorld) goesOn(t *testing.T) {
	t.Helper()
	stopSigning := l.site.open(t.Context(), 1)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	// One account does not wait for another, so the first and the last are checked.
	for _, id := range []string{appid, l.last} {
		for range 5 {
			seen := l.version(t, id)
			if !until(ctx, func() bool { return l.version(t, id) != seen }) {
				t.Fatalf("the ticket of %s is not renewed", id)
			}
		}
	}
	stopSigning()
	l.site.judge(t)
	for p, ops := range l.ops {
		for _, path := range []string{"/healthz", "/readyz"} {
			if status, body, err := get(t.Context(), "http://"+ops+path); status != http.StatusOK {
				t.Errorf("%s of %s: %d %s %v", path, p.command.Path, status, body, err)
			}
		}
	}
	for _, p := range []*process{l.edge, l.broker} {
		_ = p.command.Process.Signal(os.Interrupt) // it may have ended
		if !until(ctx, func() bool { return hasEnded(p) }) {
			t.Fatalf("%s does not end on SIGINT", p.command.Path)
		}
	}
}

// endedWell checks the programs' exit codes.
func (l *logWorld) endedWell(t *testing.T) {
	t.Helper()
	for p := range l.ops {
		<-p.done
		if code := p.command.ProcessState.ExitCode(); code != 0 {
			t.Errorf("%s ended with %d: %s", p.command.Path, code, p.rest())
		}
	}
}

// version returns the version of an account's ticket at the broker.
func (l *logWorld) version(t *testing.T, appid string) string {
	t.Helper()
	_, body, err := get(t.Context(), "http://"+l.ops[l.broker]+"/metrics")
	if err != nil {
		t.Fatal(err)
	}
	series := regexp.MustCompile(`(?m)^wxbroker_credential_version\{appid="` + appid + `",kind="jsapi_ticket"\} (\S+)$`)
	if m := series.FindSubmatch(body); m != nil {
		return string(m[1])
	}
	return ""
}

// hasEnded reports whether a process has ended. It asks the kernel, because nobody reads
// the log here, and a reader learns of the end only after the last line.
func hasEnded(p *process) bool {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_PID, p.command.Process.Pid, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	return errors.Is(err, unix.ECHILD) || err == nil && info.Signo == int32(unix.SIGCHLD)
}

// stopReading stops the reading of the log until resume is called or the test ends.
func (p *process) stopReading(t *testing.T) (resume func()) {
	p.reading.Lock()
	resume = sync.OnceFunc(p.reading.Unlock)
	t.Cleanup(resume)
	return resume
}

// TestALogThatNobodyReads: the log's pipe is full, and everything but the log goes on.
func TestALogThatNobodyReads(t *testing.T) {
	l := startLogging(t)
	resumeBroker, resumeEdge := l.broker.stopReading(t), l.edge.stopReading(t)
	l.goesOn(t)
	resumeBroker()
	resumeEdge()
	l.endedWell(t)
}

// TestTheLogsReaderIsGone: writing to it fails with EPIPE, and SIGPIPE is sent.
func TestTheLogsReaderIsGone(t *testing.T) {
	l := startLogging(t)
	for p := range l.ops {
		if err := p.log.Close(); err != nil {
			t.Fatal(err)
		}
	}
	l.goesOn(t)
	l.endedWell(t)
}
