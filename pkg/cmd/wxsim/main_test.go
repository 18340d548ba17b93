package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// runAsMain makes this test binary be wxsim, so that the tests have a real
// process without building one.
const runAsMain = "WXSIM_TEST_RUN_AS_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(runAsMain) != "" {
		main()
		return
	}
	m.Run() // go test exits with its result
}

const (
	appid  = "wx0123456789abcdef"
	secret = "0123456789abcdef0123456789abcdef"
)

func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, args...)
	// A race-enabled process sleeps for a second before it exits, otherwise.
	cmd.Env = append(os.Environ(), runAsMain+"=1", "GORACE=atexit_sleep_ms=0")
	return cmd
}

// process is a wxsim that listens.
type process struct {
	cmd   *exec.Cmd
	addr  string
	lines chan string // of its log, closed when it has ended
	log   strings.Builder
}

var listening = regexp.MustCompile(`msg=listening addr=(\S+)`)

func start(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	cmd := command(t, args...)
	cmd.Env = append(cmd.Env, env...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			cmd.Process.Kill()
			cmd.Wait()
		}
	})
	p := &process{cmd: cmd, lines: make(chan string, 100)}
	go func() {
		defer close(p.lines)
		for scanner := bufio.NewScanner(stderr); scanner.Scan(); {
			p.lines <- scanner.Text()
		}
	}()
	p.addr = listening.FindStringSubmatch(p.await(t, "msg=listening"))[1]
	return p
}

// await reads the log up to a line that contains text, and returns it.
func (p *process) await(t *testing.T, text string) string {
	t.Helper()
	for line := range p.lines {
		p.log.WriteString(line + "\n")
		if strings.Contains(line, text) {
			return line
		}
	}
	t.Fatalf("ended before it logged %q:\n%s", text, p.log.String())
	return ""
}

// stop sends a signal and returns the log of a process that ended well.
func (p *process) stop(t *testing.T, sig os.Signal) string {
	t.Helper()
	begin := time.Now()
	if err := p.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	for line := range p.lines {
		p.log.WriteString(line + "\n")
	}
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("exit: %v\n%s", err, p.log.String())
	}
	if took := time.Since(begin); took > time.Second {
		t.Errorf("took %v to stop", took)
	}
	return p.log.String()
}

func get(t *testing.T, client *http.Client, url string) map[string]any {
	t.Helper()
	res, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var answer map[string]any
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

const tokenPath = "/cgi-bin/token?grant_type=client_credential&appid=" + appid + "&secret="

func TestServesUntilASignal(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(sig.String(), func(t *testing.T) {
			p := start(t, nil, "--listen", "127.0.0.1:0", "--token-lifetime", "90s")
			base := "http://" + p.addr
			answer := get(t, http.DefaultClient, base+tokenPath+secret)
			token, _ := answer["access_token"].(string)
			if token == "" || answer["expires_in"] != 90.0 {
				t.Fatalf("answer %v", answer)
			}
			get(t, http.DefaultClient, base+tokenPath+"wrong-secret")

			// A call that hangs must not keep the process from ending.
			res, err := http.Post(base+"/sim/faults", "application/json", strings.NewReader(`{"kind":"hang"}`))
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			conn, err := net.Dial("tcp", p.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			io.WriteString(conn, "GET "+tokenPath+secret+" HTTP/1.1\r\nHost: x\r\n\r\n")
			p.await(t, "outcome=fault:hang")

			log := p.stop(t, sig)
			if want := "msg=call path=/cgi-bin/token appid=" + appid + " outcome=ok"; !strings.Contains(log, want) {
				t.Errorf("log lacks %q:\n%s", want, log)
			}
			if want := "outcome=40125"; !strings.Contains(log, want) {
				t.Errorf("log lacks %q:\n%s", want, log)
			}
			for _, value := range []string{token, secret, "wrong-secret"} {
				if strings.Contains(log, value) {
					t.Errorf("log holds %q", value)
				}
			}
		})
	}
}

func TestListensOnAUnixSocketAndOverAStaleOne(t *testing.T) {
	t.Chdir(t.TempDir())
	const path = "s" // relative, since a whole path may be too long for a socket
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		},
	}}

	p := start(t, nil, "--listen", "unix:"+path)
	if p.addr != "unix:"+path {
		t.Errorf("address %q", p.addr)
	}
	if out, err := command(t, "--listen", "unix:"+path).CombinedOutput(); err == nil || !strings.Contains(string(out), "address already in use") {
		t.Errorf("a second one on the same socket: error %v, %s", err, out)
	}
	get(t, client, "http://wxsim"+tokenPath+secret)
	p.cmd.Process.Kill()
	for range p.lines { // until it is gone
	}
	p.cmd.Wait()
	p = start(t, nil, "--listen", "unix:"+path)
	get(t, client, "http://wxsim"+tokenPath+secret)
	p.stop(t, syscall.SIGTERM)
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket was left behind: %v", err)
	}
}

func TestEnvironment(t *testing.T) {
	p := start(t, []string{
		"WXSIM_LISTEN=127.0.0.1:0", "WXSIM_APPID=wxone", "WXSIM_SECRET=s1", "WXSIM_ACCOUNT=wxtwo:s2,wxthree:s3",
		"WXSIM_ALLOW=203.0.113.7", "WXSIM_SEEN_ADDRESS=203.0.113.9", "WXSIM_WRONG_SECRET_CODE=40001",
	})
	base := "http://" + p.addr + "/cgi-bin/token?grant_type=client_credential&appid="
	for query, want := range map[string]float64{
		"wxone&secret=s1": 40164, "wxtwo&secret=s2": 40164, "wxthree&secret=s3": 40164,
		"wxtwo&secret=s1": 40001, appid + "&secret=" + secret: 40013,
	} {
		if got := get(t, http.DefaultClient, base+query); got["errcode"] != want {
			t.Errorf("%s: %v, want %v", query, got, want)
		}
	}
	p.stop(t, syscall.SIGTERM)
}

func TestCommandLine(t *testing.T) {
	tests := []struct {
		name           string
		args           []string
		status         int
		stdout, stderr string
	}{
		{"help", []string{"--help"}, 0, "fake by nature", ""},
		{"version", []string{"--version"}, 0, "dev", ""},
		{"unknown flag", []string{"--boom"}, 2, "", "unknown flag --boom"},
		{"an argument", []string{"serve"}, 2, "", "unexpected argument"},
		{"not loopback", []string{"--listen", "0.0.0.0:0"}, 1, "", "not a loopback address; --insecure-listen"},
		{"every address", []string{"--listen", ":0"}, 1, "", "not a loopback address"},
		{"no address", []string{"--listen", "7699"}, 1, "", "neither host:port nor unix:/path"},
		{"account without secret", []string{"--account", "wx1"}, 2, "", "--account: entry 1 is not APPID:SECRET"},
		{"allow that is no address", []string{"--allow", "here"}, 2, "", "--allow: "},
		{"seen address that is none", []string{"--seen-address", "here"}, 2, "", "--seen-address: "},
		{"no lifetime", []string{"--ticket-lifetime", "0s"}, 2, "", "a second at least"},
		{"no media lifetime", []string{"--media-lifetime", "0s"}, 2, "", "a second at least"},
		{"no template quota", []string{"--template-quota", "0"}, 2, "", "--template-quota: "},
		{"no quota", []string{"--force-quota", "0"}, 2, "", "--force-quota: "},
		{"no clears", []string{"--clears-per-month", "0"}, 2, "", "--clears-per-month: "},
		{"no such code", []string{"--wrong-secret-code", "1"}, 2, "", "--wrong-secret-code"},
		{"empty secret", []string{"--secret", ""}, 2, "", "cannot be empty"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cmd := command(t, tt.args...)
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			// One that takes what it should refuse would serve for ever.
			stop := time.AfterFunc(10*time.Second, func() { cmd.Process.Kill() })
			defer stop.Stop()
			err := cmd.Wait()
			if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended {
				t.Fatal(err)
			}
			if got := cmd.ProcessState.ExitCode(); got != tt.status {
				t.Errorf("exit status %d, want %d", got, tt.status)
			}
			if !strings.Contains(stdout.String(), tt.stdout) || !strings.Contains(stderr.String(), tt.stderr) {
				t.Errorf("stdout %q, stderr %q, want %q and %q", stdout.String(), stderr.String(), tt.stdout, tt.stderr)
			}
		})
	}
}
