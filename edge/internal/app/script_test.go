package app

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/wxbroker/wxbroker/pkg/tlstest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"wxedge": func() { os.Exit(Main("v1.2.3", os.Args[1:], os.Stdout, os.Stderr)) },
	})
}

// The scripts are the specification of the command line. They know two
// commands of ours: serving and sigterm, below. $BROKER is a broker that has files,
// see serveMedia, and $BROKERPORT its port. $BUSY is an address in use, $BUSYPORT its
// port. $GID is a group that we are in. There are the files ca.crt, tls.crt and
// tls.key.
func TestCommandLine(t *testing.T) {
	ca := tlstest.NewCA(t, "ours")
	pair := ca.Issue(t)
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
			env.Setenv("GID", strconv.Itoa(os.Getgid()))
			env.Setenv("BUSY", busy.Addr().String())
			env.Setenv("BUSYPORT", strconv.Itoa(busy.Addr().(*net.TCPAddr).Port))
			env.Values[processKey{}] = new(process)
			broker := serveMedia(env)
			env.Setenv("BROKER", broker)
			if _, port, err := net.SplitHostPort(broker); err == nil {
				env.Setenv("BROKERPORT", port)
			}
			ca.Write(t, env.WorkDir)
			pair.Write(t, env.WorkDir)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"serving": startServing, "sigterm": terminate},
	})
}

type (
	processKey struct{}
	// process is a program that startServing started.
	process struct {
		cmd *exec.Cmd
		log strings.Builder
		// rest is closed when log is complete.
		rest chan struct{}
	}
)

var upLine = regexp.MustCompile(`msg="edge is up" listen=(\S+) ops=(\S+)`)

// startServing starts the program that its arguments name and returns once it says
// that it is up, with its addresses in $LISTEN and $OPS.
func startServing(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: serving program args...")
	}
	p := ts.Value(processKey{}).(*process)
	p.cmd = exec.Command(args[0], args[1:]...)
	p.cmd.Dir = ts.MkAbs(".")
	p.cmd.Env = []string{"HOME=" + ts.Getenv("HOME"), "TMPDIR=" + ts.Getenv("TMPDIR"), "GORACE=" + ts.Getenv("GORACE")}
	stderr, err := p.cmd.StderrPipe()
	ts.Check(err)
	ts.Check(p.cmd.Start())
	p.rest = make(chan struct{})
	ts.Defer(func() {
		_ = p.cmd.Process.Kill() // unless it was stopped: then this does nothing
		<-p.rest
		_ = p.cmd.Wait()
	})
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		p.log.WriteString(lines.Text() + "\n")
		if up := upLine.FindStringSubmatch(lines.Text()); up != nil {
			ts.Setenv("LISTEN", up[1])
			ts.Setenv("OPS", up[2])
			go func() {
				defer close(p.rest)
				for lines.Scan() {
					p.log.WriteString(lines.Text() + "\n")
				}
			}()
			return
		}
	}
	close(p.rest)
	ts.Fatalf("%s did not come up: %s", args[0], &p.log)
}

// terminate stops the program that startServing started, as an operator does. The
// program has to end with exit code 0, and its log has to contain each of the
// arguments.
func terminate(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: sigterm [log text...]")
	}
	p := ts.Value(processKey{}).(*process)
	ts.Check(p.cmd.Process.Signal(syscall.SIGTERM))
	<-p.rest
	if err := p.cmd.Wait(); err != nil {
		ts.Fatalf("stopping: %v: %s", err, &p.log)
	}
	for _, text := range args {
		if !strings.Contains(p.log.String(), text) {
			ts.Fatalf("the log does not say %q: %s", text, &p.log)
		}
	}
}
