package e2e

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestNotReadyWhileItStops: from SIGTERM on a broker says that it stops, for as long as it
// waits for a call to WeChat.
func TestNotReadyWhileItStops(t *testing.T) {
	t.Parallel() // it mostly waits
	sim := start(t, "wxsim", "--listen", "127.0.0.1:0", "--appid", appid, "--secret", secret, "--ticket-lifetime", "3s", "--ticket-overlap", "2500ms")
	simAddress := sim.says(t, `addr=(\S+)`)[1]
	broker := start(t, "wxbroker", "serve", "--config", configure(t, t.TempDir(), simAddress, "127.0.0.1:0"))
	ops := broker.says(t, `"broker is up" .*ops=(\S+)`)[1]
	broker.says(t, `rotated .*kind=jsapi_ticket`)
	if status, body, err := get(t.Context(), "http://"+ops+"/readyz"); status != http.StatusOK {
		t.Fatalf("before: %d %s %v", status, body, err)
	}
	control(t, simAddress, "/sim/faults", `{"kind":"hang","path":"/cgi-bin/ticket/getticket"}`)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	before := count(t, simAddress, appid, "/cgi-bin/ticket/getticket")
	if !until(ctx, func() bool { return count(t, simAddress, appid, "/cgi-bin/ticket/getticket") > before }) {
		t.Fatal("the ticket is not read again")
	}
	_ = broker.command.Process.Signal(syscall.SIGTERM)
	said := until(ctx, func() bool {
		status, body, err := get(ctx, "http://"+ops+"/readyz")
		if err != nil {
			t.Fatalf("it never said that it stops: %v", err)
		}
		return status == http.StatusServiceUnavailable && strings.Contains(string(body), "stopping")
	})
	if !said {
		t.Error("it never said that it stops")
	}
	if status, body, err := get(ctx, "http://"+ops+"/healthz"); status != http.StatusOK {
		t.Errorf("a broker that stops is not sick: %d %s %v", status, body, err)
	}
	<-broker.done
	if code := broker.command.ProcessState.ExitCode(); code != 0 {
		t.Errorf("it ended with %d", code)
	}
}

// TestAQuestionCanBeLeft: a command that waits for a person's answer ends on a signal, and
// has done nothing.
func TestAQuestionCanBeLeft(t *testing.T) {
	sim := start(t, "wxsim", "--listen", "127.0.0.1:0", "--appid", appid, "--secret", secret)
	simAddress := sim.says(t, `addr=(\S+)`)[1]
	broker := start(t, "wxbroker", "serve", "--config", configure(t, t.TempDir(), simAddress, "127.0.0.1:0"))
	address := broker.says(t, `"broker is up" grpc=(\S+)`)[1]
	broker.says(t, `rotated .*kind=jsapi_ticket`)
	calls := simCalls(t, simAddress)
	for _, tt := range []struct {
		name   string
		args   []string
		asks   string
		signal os.Signal
	}{
		{"refresh, SIGINT", []string{"refresh", "--force"}, "Make WeChat replace", os.Interrupt},
		{"quota, SIGTERM", []string{"quota", "--clear"}, "Make WeChat forget", syscall.SIGTERM},
	} {
		t.Run(tt.name, func(t *testing.T) {
			stdin, typing, err := os.Pipe() // in which nobody types
			must(t, err)
			defer typing.Close()
			defer stdin.Close()
			command := run(t, stdin, filepath.Join(bin, "wxbroker"), append(tt.args, "--broker", address)...)
			command.says(t, tt.asks)
			command.end(tt.signal)
			if code, rest := command.command.ProcessState.ExitCode(), command.rest(); code != 1 || !strings.Contains(rest, "not done: told to stop") {
				t.Errorf("it ended with %d: %s", code, rest)
			}
		})
	}
	if now := simCalls(t, simAddress); now != calls {
		t.Errorf("WeChat was asked for something: before %s, now %s", calls, now)
	}
}

// TestAHangupEndsNoEdge: many programs read their files again on SIGHUP, so people send it.
// A terminal that is closed sends it too.
func TestAHangupEndsNoEdge(t *testing.T) {
	edge := start(t, "wxedge", "serve", "--broker", "127.0.0.1:1", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0")
	ops := edge.says(t, `"edge is up" .*ops=(\S+)`)[1]
	for range 3 {
		_ = edge.command.Process.Signal(syscall.SIGHUP)
		edge.says(t, `SIGHUP: nothing to do`)
	}
	if status, body, err := get(t.Context(), "http://"+ops+"/healthz"); status != http.StatusOK {
		t.Errorf("%d %s %v", status, body, err)
	}
	edge.end(os.Interrupt)
	if code := edge.command.ProcessState.ExitCode(); code != 0 {
		t.Errorf("it ended with %d", code)
	}
}
