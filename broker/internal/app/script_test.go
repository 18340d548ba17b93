package app

import (
	"bufio"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"wxbroker":        func() { os.Exit(Main("v1.2.3", os.Args[1:], os.Stdout, os.Stderr)) },
		"wxbroker-killed": killed,
	})
}

// The scripts are the specification of the command line. They know some
// commands of ours, below. $BUSY is an address in use, $BUSYPORT its port.
// $WECHAT is a simulated WeChat that knows wx0123456789abcdef with the secret
// 5ca1ab1e.
func TestCommandLine(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			busy, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return err
			}
			env.Defer(func() { busy.Close() })
			// Under -race a program ends a second late, to hear of late races.
			env.Setenv("GORACE", "atexit_sleep_ms=0")
			env.Setenv("BUSY", busy.Addr().String())
			env.Setenv("BUSYPORT", strconv.Itoa(busy.Addr().(*net.TCPAddr).Port))
			wechat := httptest.NewServer(wechatsim.New(wechatsim.Config{
				Accounts: []wechatsim.Account{{AppID: "wx0123456789abcdef", Secret: "5ca1ab1e"}},
			}))
			env.Defer(wechat.Close)
			env.Setenv("WECHAT", wechat.URL)
			env.Values[processKey{}] = new(process)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"serving": serve, "starting": start, "sigterm": terminate, "envsubst": envsubst,
			"logged": awaitLog, "sighup": hangUp, "failing": fail, "mkfifo": makePipe,
		},
	})
}

type (
	processKey struct{}
	// process is a program that start started.
	process struct {
		cmd *exec.Cmd
		// ended is closed when the log is complete.
		ended chan struct{}

		mu   sync.Mutex
		log  strings.Builder
		more chan struct{} // closed with the next line
	}
)

// note adds a line to the log.
func (p *process) note(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.log.WriteString(line + "\n")
	close(p.more)
	p.more = make(chan struct{})
}

// logged returns what was logged so far, and a channel that is closed with the next
// line.
func (p *process) logged() (text string, more <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String(), p.more
}

var upLine = regexp.MustCompile(`msg="broker is up" grpc=(\S+) ops=(\S+)`)

// serve starts the program that its arguments name and returns once it says that
// it is up, with the port of its gRPC listener, if it has one, in $GRPCPORT.
func serve(ts *testscript.TestScript, neg bool, args []string) {
	start(ts, neg, append([]string{upLine.String()}, args...))
	text, _ := ts.Value(processKey{}).(*process).logged()
	if _, port, err := net.SplitHostPort(upLine.FindStringSubmatch(text)[1]); err == nil {
		ts.Setenv("GRPCPORT", port)
	}
}

// start starts the program that its arguments name and returns once its log
// says what that expression matches: `starting regexp program...`.
func start(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: serving program args..., or starting regexp program args...")
	}
	p := ts.Value(processKey{}).(*process)
	*p = process{cmd: exec.Command(args[1], args[2:]...), ended: make(chan struct{}), more: make(chan struct{})}
	p.cmd.Dir = ts.MkAbs(".")
	p.cmd.Env = []string{"HOME=" + ts.Getenv("HOME"), "TMPDIR=" + ts.Getenv("TMPDIR"), "GORACE=" + ts.Getenv("GORACE")}
	stderr, err := p.cmd.StderrPipe()
	ts.Check(err)
	ts.Check(p.cmd.Start())
	go func() {
		defer close(p.ended)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			p.note(lines.Text())
		}
	}()
	ts.Defer(func() {
		_ = p.cmd.Process.Kill() // unless it was stopped: then this does nothing
		<-p.ended
		_ = p.cmd.Wait()
	})
	awaitLog(ts, false, args[:1])
}

// patience is how long a script waits for a line of the log, or for a program's end.
const patience = 20 * time.Second

// awaitLog returns once the log says what that expression matches. Negated, it
// fails if the log has said so already.
func awaitLog(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: [!] logged regexp")
	}
	pattern, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	p := ts.Value(processKey{}).(*process)
	if text, _ := p.logged(); neg {
		if pattern.MatchString(text) {
			ts.Fatalf("the program said %s: %s", pattern, text)
		}
		return
	}
	enough := time.After(patience)
	for {
		text, more := p.logged()
		if pattern.MatchString(text) {
			return
		}
		select {
		case <-more:
		case <-p.ended:
			if text, _ = p.logged(); !pattern.MatchString(text) {
				ts.Fatalf("the program ended and never said %s: %s", pattern, text)
			}
		case <-enough:
			ts.Fatalf("the program never said %s: %s", pattern, text)
		}
	}
}

// fail starts the program that its arguments name: `failing regexp program...`. The
// program has to end by itself, with exit code 1, and its log has to match. Unlike
// exec, fail does not wait for ever.
func fail(ts *testscript.TestScript, neg bool, args []string) {
	start(ts, neg, args)
	p := ts.Value(processKey{}).(*process)
	select {
	case <-p.ended:
	case <-time.After(patience):
		text, _ := p.logged()
		ts.Fatalf("the program did not end: %s", text)
	}
	_ = p.cmd.Wait() // the code says what came of it
	if code := p.cmd.ProcessState.ExitCode(); code != 1 {
		text, _ := p.logged()
		ts.Fatalf("the program ended with %d: %s", code, text)
	}
}

// makePipe makes pipes that nobody writes to: `mkfifo path...`.
func makePipe(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: mkfifo path...")
	}
	for _, path := range args {
		ts.Check(syscall.Mkfifo(ts.MkAbs(path), 0o600))
	}
}

// hangUp tells the program that start started to read its configuration.
func hangUp(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: sighup")
	}
	ts.Check(ts.Value(processKey{}).(*process).cmd.Process.Signal(syscall.SIGHUP))
}

// terminate stops the program that start started, as an operator does. The program
// has to end with exit code 0, and its log has to contain each of the arguments.
func terminate(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: sigterm [log text...]")
	}
	p := ts.Value(processKey{}).(*process)
	ts.Check(p.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case <-p.ended:
	case <-time.After(patience):
		text, _ := p.logged()
		ts.Fatalf("the program did not end: %s", text)
	}
	text, _ := p.logged()
	if err := p.cmd.Wait(); err != nil {
		ts.Fatalf("stopping: %v: %s", err, text)
	}
	for _, want := range args {
		if !strings.Contains(text, want) {
			ts.Fatalf("the log does not say %q: %s", want, text)
		}
	}
}

// envsubst replaces the variables in a file by their values.
func envsubst(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: envsubst file")
	}
	content := os.Expand(ts.ReadFile(args[0]), ts.Getenv)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(content), 0o600))
}
