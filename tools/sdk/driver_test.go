package sdk

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/wxbroker/wxbroker/pkg/logtest"
)

// sdk is an SDK of other people's.
type sdk struct {
	name string
	// calls is set for an SDK that makes calls. The others only sign, or log users in.
	calls bool
	// oauth is set for an SDK in which the host of OAuth calls can be set.
	oauth bool
	// force is set for an SDK that can ask for a new token while the old one is good.
	force bool
	// exact is set for an SDK in which a msgid keeps all its digits. The others read it as
	// a JavaScript number: WeChat answers with a number that is too large for that.
	exact bool
}

var sdks = []sdk{
	{name: "co-wechat-api", calls: true, exact: true},
	{name: "node-easywechat", calls: true, force: true},
	{name: "wechat-api", calls: true},
	{name: "wechat-jssdk", oauth: true},
}

// driver is a program that uses an SDK.
type driver struct {
	sdk
	*process

	dir   string // where the driver and its SDK leave files
	steps io.WriteCloser
	out   *logtest.Log
	read  int // how many bytes of out were taken
}

// drive starts a driver. It is told only where WeChat is and what the secret is.
func drive(t *testing.T, s sdk, host, secret, caFile string) *driver {
	t.Helper()
	script, err := filepath.Abs(filepath.Join("drivers", s.name+".js"))
	must(t, err)
	for _, name := range []string{script, filepath.Join("drivers", "steps.js")} {
		_, err := os.Stat(name) // so that go test notices a change of the file
		must(t, err)
	}
	command := exec.CommandContext(t.Context(), "node", script)
	command.Env = []string{
		"PATH=" + os.Getenv("PATH"), "NODE_EXTRA_CA_CERTS=" + caFile,
		"WX_HOST=" + host, "WX_APPID=" + appid, "WX_SECRET=" + secret,
	}
	d := &driver{sdk: s, dir: t.TempDir(), out: new(logtest.Log), process: &process{command: command, log: new(logtest.Log)}}
	command.Dir, command.Stdout, command.Stderr = d.dir, d.out, d.log
	d.steps, err = command.StdinPipe()
	must(t, err)
	d.begin(t)
	return d
}

// answer is what a driver prints after a step.
type answer struct {
	Step   string          `json:"step"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Code    json.RawMessage `json:"code"`
		Message string          `json:"message"`
	} `json:"error"`
}

type args map[string]any

// ask tells the driver to do a step.
func (d *driver) ask(t *testing.T, step string, given args) answer {
	t.Helper()
	line := args{"step": step}
	maps.Copy(line, given)
	encoded, err := json.Marshal(line)
	must(t, err)
	if _, err := fmt.Fprintf(d.steps, "%s\n", encoded); err != nil {
		t.Fatalf("%s ended before %s (%v):\n%s", d.name, step, err, d.log)
	}
	var printed []byte
	if !d.until(t, func() (found bool) {
		printed, _, found = bytes.Cut([]byte(d.out.String())[d.read:], []byte("\n"))
		return found
	}) {
		t.Fatalf("%s never answered %s:\n%s", d.name, step, d.log)
	}
	d.read += len(printed) + 1
	var a answer
	if err := json.Unmarshal(printed, &a); err != nil || a.Step != step {
		t.Fatalf("%s answered %s with %s (%v)", d.name, step, printed, err)
	}
	return a
}

// do tells the driver to do a step, which has to succeed, and reads the result.
func (d *driver) do(t *testing.T, step string, given args, result any) {
	t.Helper()
	a := d.ask(t, step, given)
	if a.Error != nil {
		t.Fatalf("%s: %s: error %s: %s", d.name, step, a.Error.Code, a.Error.Message)
	}
	if result == nil {
		return
	}
	if err := json.Unmarshal(a.Result, result); err != nil {
		t.Fatalf("%s: %s: %s: %v", d.name, step, a.Result, err)
	}
}

// about is what a driver says about a token or a ticket.
type about struct {
	Alias  bool   `json:"alias"`
	SHA256 string `json:"sha256"`
}

// about tells the driver to do a step that results in a token or a ticket.
func (d *driver) about(t *testing.T, step string) about {
	t.Helper()
	var a about
	d.do(t, step, nil, &a)
	if a.SHA256 == "" {
		t.Fatalf("%s: %s: there is none", d.name, step)
	}
	return a
}

// finish lets the driver end by itself, and returns the tokens and tickets that
// it held.
func (d *driver) finish(t *testing.T) (held []string) {
	t.Helper()
	must(t, d.steps.Close())
	if !d.until(t, d.ended) || d.command.ProcessState.ExitCode() != 0 {
		t.Fatalf("%s does not end, or ends badly:\n%s", d.name, d.log)
	}
	content, err := os.ReadFile(filepath.Join(d.dir, "held.json"))
	must(t, err)
	must(t, json.Unmarshal(content, &held))
	return held
}

// files returns what driver and SDK have left in the directory, by name.
func (d *driver) files(t *testing.T) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(d.dir)
	must(t, err)
	files := make(map[string]string)
	for _, e := range entries {
		content, err := os.ReadFile(d.path(e.Name()))
		must(t, err)
		files["a file of "+d.name+", "+e.Name()] = string(content)
	}
	return files
}

// path returns the path of a file in the driver's directory.
func (d *driver) path(name string) string { return filepath.Join(d.dir, name) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
