package e2e

import (
	"net/http"
	"os"
	"regexp"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// limitFiles lets the kernel refuse what p writes to files (EFBIG), as a full disk does.
// With limited false it lifts that. The log is a pipe, so it is not limited.
func limitFiles(t *testing.T, p *process, limited bool) {
	t.Helper()
	limit := unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}
	if limited {
		limit.Cur = 0
	}
	if err := unix.Prlimit(p.command.Process.Pid, unix.RLIMIT_FSIZE, &limit, nil); err != nil {
		t.Fatal(err)
	}
}

// unsaved reads from the broker's metrics which kinds its database does not have.
func unsaved(t *testing.T, ops string) (kinds []string) {
	t.Helper()
	if status, body, err := get(t.Context(), "http://"+ops+"/readyz"); status != http.StatusOK {
		t.Errorf("the broker is not ready: %d %s %v", status, body, err)
	}
	_, body, err := get(t.Context(), "http://"+ops+"/metrics")
	if err != nil {
		t.Fatal(err)
	}
	all := regexp.MustCompile(`(?m)^wxbroker_credential_unsaved\{.*kind="(.*)"\} ([01])$`).FindAllStringSubmatch(string(body), -1)
	if len(all) != 2 {
		t.Fatalf("the metric of unsaved credentials is %v", all)
	}
	for _, m := range all {
		if m[2] == "1" {
			kinds = append(kinds, m[1])
		}
	}
	return kinds
}

// TestFullDisk: while the kernel refuses every write, rotations go on and reach
// the edge, loudly. Once there is room the broker writes what it has, so that a
// kill after that loses nothing.
func TestFullDisk(t *testing.T) {
	t.Parallel() // it mostly waits
	// A token of twelve seconds is due after six, a ticket of three after one
	// and a half. Both are then in the part of their life in which WeChat hands
	// out the next one.
	const tokenGap, ticketGap = 6 * time.Second, 1500 * time.Millisecond
	sim := start(t, "wxsim", "--listen", "127.0.0.1:0", "--appid", appid, "--secret", secret,
		"--token-lifetime", "12s", "--stable-window", "8s", "--ticket-lifetime", "3s", "--ticket-overlap", "2500ms")
	simAddress := sim.says(t, `addr=(\S+)`)[1]
	dir := t.TempDir()
	broker := start(t, "wxbroker", "serve", "--config", configure(t, dir, simAddress, "127.0.0.1:0"))
	// A broker that cannot count its calls makes none in its first minute, and
	// then one a minute where one fails.
	broker.patience = 2 * time.Minute
	addresses := broker.says(t, `"broker is up" grpc=(\S+) ops=(\S+)`)
	address, ops := addresses[1], addresses[2]
	edge := start(t, "wxedge", "serve", "--broker", address, "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0")
	edge.patience = broker.patience
	site := &pages{edge: edge.says(t, `"edge is up" listen=(\S+)`)[1], sim: simAddress}
	edge.says(t, `holding .*kind=jsapi_ticket`)
	site.more(t.Context(), 1) // from now on WeChat has said when the ticket expires
	stopSigning := site.open(t.Context(), 1)

	limitFiles(t, broker, true)
	version := broker.says(t, `cannot persist.* kind=access_token version=(\d+)`)[1]
	minted, err := strconv.ParseInt(version, 10, 64) // a version is when it was minted
	if err != nil {
		t.Fatal(err)
	}
	age := func() time.Duration { return time.Since(time.UnixMilli(minted)) }
	edge.rest() // skips what it was told until now
	edge.says(t, `holding .*kind=jsapi_ticket`)
	site.more(t.Context(), 50)
	if kinds := unsaved(t, ops); len(kinds) != 2 {
		t.Errorf("neither kind can be saved, and %v is said to be unsaved", kinds)
	}

	limitFiles(t, broker, false)
	lifted := age()
	// The next ticket wakes the broker before the next token: the token that is
	// persisted is the one that could not be.
	persisted := broker.says(t, `persisted at last.* kind=access_token version=(\d+)`)[1]
	if lifted > tokenGap-2*ticketGap {
		t.Logf("the machine is slow: only after %v there was room", lifted)
	} else if persisted != version {
		t.Errorf("version %s of the token could not be persisted, and %s was when there was room", version, persisted)
	}
	for patience := time.After(broker.patience); len(unsaved(t, ops)) > 0; { // now the ticket
		select {
		case <-time.After(10 * time.Millisecond):
		case <-patience:
			t.Fatal("there is room, and something is said to be unsaved")
		}
	}
	calls := count(t, simAddress, appid, "/cgi-bin/stable_token")
	broker.end(os.Kill)
	broker = start(t, "wxbroker", "serve", "--config", configure(t, dir, simAddress, address))
	restored := broker.says(t, `restored .*kind=access_token version=(\d+)`)[1]
	broker.says(t, `"edge connected"`)
	more := count(t, simAddress, appid, "/cgi-bin/stable_token") - calls
	if age() > tokenGap {
		t.Logf("the machine is slow: a token of %v is due anyway", age())
	} else if restored != persisted || more != 0 {
		t.Errorf("version %s of the token was persisted, %s restored, with %d token calls", persisted, restored, more)
	}
	site.more(t.Context(), 50)
	stopSigning()
	site.judge(t)
}
