package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// diskWorld has the real programs, with values that live so shortly that the broker writes
// all the time, and a page that is signed all the time.
type diskWorld struct {
	sim, broker, edge *process
	wechat, grpc, ops string // addresses
	dir, config       string
	site              *pages
}

// lives are those of wxsim's tokens and tickets: a token is due after six seconds,
// a ticket after three. A disk may take a second of that.
var lives = []string{"--token-lifetime", "12s", "--stable-window", "8s", "--ticket-lifetime", "6s", "--ticket-overlap", "5s"}

// startDisked starts everything; begin starts the broker.
func startDisked(t *testing.T, dir string, begin func(config string) *process) *diskWorld {
	t.Helper()
	d := &diskWorld{dir: dir}
	d.sim = start(t, "wxsim", append([]string{"--listen", "127.0.0.1:0", "--appid", appid, "--secret", secret}, lives...)...)
	d.wechat = d.sim.says(t, `addr=(\S+)`)[1]
	d.config = configure(t, dir, d.wechat, "127.0.0.1:0")
	d.broker = begin(d.config)
	d.broker.patience = 2 * time.Minute // it may make no call in its first minute
	up := d.broker.says(t, `"broker is up" grpc=(\S+) ops=(\S+)`)
	d.grpc, d.ops = up[1], up[2]
	d.edge = start(t, "wxedge", "serve", "--broker", d.grpc, "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0")
	d.edge.patience = d.broker.patience
	d.site = &pages{edge: d.edge.says(t, `"edge is up" listen=(\S+)`)[1], sim: d.wechat}
	d.edge.says(t, `holding .*kind=jsapi_ticket`)
	d.site.more(t.Context(), 1) // from now on WeChat has said when the ticket expires
	return d
}

func serving(t *testing.T) func(config string) *process {
	return func(config string) *process { return start(t, "wxbroker", "serve", "--config", config) }
}

// status returns what `wxbroker status --json` says of the account.
func (d *diskWorld) status(t *testing.T) (status struct {
	Accounts []struct {
		Credentials []struct {
			Kind, Version string
			Unsaved       bool
		}
		Budget []struct{ API, Used string }
	}
},
) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), filepath.Join(bin, "wxbroker"), "status", "--json", "--broker", d.grpc).Output()
	must(t, err)
	must(t, json.Unmarshal(out, &status))
	if len(status.Accounts) != 1 || len(status.Accounts[0].Credentials) != 2 {
		t.Fatalf("the status is %s", out)
	}
	return status
}

// TestAReloadOverAFullDisk touches policy and nothing else: no credential, no
// version and no count is lost, and pages are signed on.
func TestAReloadOverAFullDisk(t *testing.T) {
	t.Parallel() // it mostly waits
	d := startDisked(t, t.TempDir(), serving(t))
	stopSigning := d.site.open(t.Context(), 1)
	limitFiles(t, d.broker, true)
	d.broker.says(t, `cannot persist.* kind=access_token version=(\d+)`)
	before := d.status(t).Accounts[0]

	config := configure(t, d.dir, d.wechat, "127.0.0.1:0")
	raw, err := os.ReadFile(config)
	must(t, err)
	host := "shop.example.com" // that of the page
	must(t, os.WriteFile(config, []byte(strings.Replace(string(raw), "{appid: "+appid, fmt.Sprintf("{sign_hosts: [%s], appid: %s", host, appid), 1)), 0o600))
	must(t, d.broker.command.Process.Signal(syscall.SIGHUP))
	d.broker.says(t, `the configuration has changed`)

	after := d.status(t).Accounts[0]
	for i, c := range after.Credentials {
		if c.Version < before.Credentials[i].Version { // versions have equally many digits until the year 2286
			t.Errorf("version of the %s: %s, before %s", c.Kind, c.Version, before.Credentials[i].Version)
		}
	}
	for i, b := range after.Budget {
		if len(b.Used) < len(before.Budget[i].Used) || len(b.Used) == len(before.Budget[i].Used) && b.Used < before.Budget[i].Used {
			t.Errorf("calls of %s: %s, before %s", b.API, b.Used, before.Budget[i].Used)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if !until(ctx, func() bool {
		status, _, err := get(ctx, "http://"+d.site.edge+"/v1/jsapi/config?url=https%3A%2F%2Fother.example.com%2F")
		return err == nil && status == http.StatusForbidden
	}) {
		t.Error("the new policy is not in force")
	}
	d.site.more(t.Context(), 100)
	stopSigning()
	d.site.judge(t)
	if d.site.expired > 0 {
		t.Errorf("%d pages were refused", d.site.expired)
	}
}

// TestAVolumeThatHangs: writes to the database do not return. Rotations go on and
// reach the edge; once the volume answers again the broker has lost nothing.
func TestAVolumeThatHangs(t *testing.T) {
	dir, freeze := freezingVolume(t)
	d := startDisked(t, dir, serving(t))
	stopSigning := d.site.open(t.Context(), 1)
	thaw := freeze()
	version := d.broker.says(t, `cannot persist.* kind=access_token version=(\d+).*the disk does not answer`)[1]
	d.edge.rest()
	for range 3 {
		d.edge.says(t, `holding .*kind=jsapi_ticket`)
	}
	if token := d.edge.says(t, `holding .*kind=(jsapi_ticket)`); len(token) == 0 {
		t.Error("no rotation reaches the edge")
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		if status, body, err := get(t.Context(), "http://"+d.ops+path); status != http.StatusOK {
			t.Errorf("%s: %d %s %v", path, status, body, err)
		}
	}
	thaw()
	persisted := d.broker.says(t, `persisted at last.* kind=access_token version=(\d+)`)[1]
	if persisted < version {
		t.Errorf("version %s could not be persisted, and %s was in the end", version, persisted)
	}
	d.site.more(t.Context(), 50)
	stopSigning()
	d.site.judge(t)

	thaw = freeze()
	d.broker.says(t, `cannot persist`)
	must(t, d.broker.command.Process.Signal(os.Interrupt))
	d.broker.says(t, `broker stopped`)
	d.broker.says(t, `closing the database: the disk does not answer`)
	thaw() // a process with a thread that hangs in the kernel does not end before that
	<-d.broker.done
	if code := d.broker.command.ProcessState.ExitCode(); code != 1 {
		t.Errorf("it ended with %d", code)
	}
	broker := start(t, "wxbroker", "serve", "--config", d.config)
	broker.says(t, `restored .*kind=access_token`)
}

// TestNoRoomForADatabase: a broker starts on a full volume without a database, or with a
// damaged one. It works, says loudly that it keeps everything in memory, and makes a
// database once there is room. A second broker is turned away.
func TestNoRoomForADatabase(t *testing.T) {
	t.Parallel() // it waits for a minute
	for _, tt := range []struct {
		name     string
		database []byte
	}{
		{"absent", nil},
		{"damaged", []byte(strings.Repeat("x", 1<<16))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if tt.database != nil {
				must(t, os.WriteFile(filepath.Join(dir, "wxbroker.db"), tt.database, 0o600))
			}
			// The kernel refuses what it writes to files (EFBIG). The log is a pipe.
			d := startDisked(t, dir, func(config string) *process {
				return run(t, nil, "/bin/sh", "-c", `ulimit -S -f 0; exec "$0" serve --config "$1"`, filepath.Join(bin, "wxbroker"), config)
			})
			if said := strings.Join(d.broker.saidSoFar(), "\n"); !strings.Contains(said, "there is no database, and no room for one") {
				t.Errorf("it does not say so: %s", said)
			}
			second := start(t, "wxbroker", "serve", "--config", d.config)
			<-second.done
			if code, rest := second.command.ProcessState.ExitCode(), second.rest(); code != 1 || !strings.Contains(rest, "another broker holds it") {
				t.Errorf("a second broker ended with %d: %s", code, rest)
			}
			stopSigning := d.site.open(t.Context(), 1)
			d.site.more(t.Context(), 50)
			if kinds := unsaved(t, d.ops); len(kinds) != 2 {
				t.Errorf("said to be unsaved are %v", kinds)
			}
			limitFiles(t, d.broker, false)
			version := d.broker.says(t, `persisted at last.* kind=access_token version=(\d+)`)[1]
			d.site.more(t.Context(), 50)
			stopSigning()
			d.site.judge(t)
			d.broker.end(os.Kill)
			broker := start(t, "wxbroker", "serve", "--config", d.config)
			if again := broker.says(t, `restored .*kind=access_token version=(\d+)`)[1]; again < version {
				t.Errorf("version %s was persisted, and %s restored", version, again)
			}
		})
	}
}

// TestASecretOnADeadVolume: an AppSecret's file is on a file system that does not answer.
// A broker does not start then, and names the file. A broker that runs is not held up.
func TestASecretOnADeadVolume(t *testing.T) {
	dead := filepath.Join(deadVolume(t), "secret")
	dir := t.TempDir()
	d := startDisked(t, dir, func(config string) *process {
		link := filepath.Join(dir, "link")
		must(t, os.Symlink(filepath.Join(dir, "secret"), link))
		raw, err := os.ReadFile(config)
		must(t, err)
		must(t, os.WriteFile(config, []byte(strings.Replace(string(raw), filepath.Join(dir, "secret"), link, 1)), 0o600))
		return start(t, "wxbroker", "serve", "--config", config)
	})
	must(t, errors.Join(os.Remove(filepath.Join(dir, "link")), os.Symlink(dead, filepath.Join(dir, "link"))))
	stopSigning := d.site.open(t.Context(), 1)
	d.broker.says(t, `the files on disk cannot be used.*files=AppSecret.*the file system does not answer`)
	d.edge.rest()
	for range 3 {
		d.edge.says(t, `holding .*kind=jsapi_ticket`)
	}
	must(t, d.broker.command.Process.Signal(syscall.SIGHUP)) // a reload reads the secret's file as well
	d.broker.says(t, `SIGHUP.*the file system does not answer`)
	d.site.more(t.Context(), 50)
	stopSigning()
	d.site.judge(t)
	d.broker.end(os.Interrupt)
	if code := d.broker.command.ProcessState.ExitCode(); code != 0 {
		t.Errorf("it ended with %d: %s", code, d.broker.rest())
	}

	again := start(t, "wxbroker", "serve", "--config", d.config)
	<-again.done
	if code, rest := again.command.ProcessState.ExitCode(), again.rest(); code != 1 || !strings.Contains(rest, "secret_file") || !strings.Contains(rest, "the file system does not answer") {
		t.Errorf("a start ended with %d: %s", code, rest)
	}
}
