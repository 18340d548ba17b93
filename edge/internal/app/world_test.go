package app

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/test/bufconn"

	"github.com/wxbroker/wxbroker/pkg/daemon"
	"github.com/wxbroker/wxbroker/pkg/grpctest"
	"github.com/wxbroker/wxbroker/pkg/logtest"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

const page = "https://shop.example.com/cart?item=1"

// runningEdge is a whole edge in a bubble, with clients of its two listeners.
type runningEdge struct {
	t      *testing.T
	broker *fakeBroker
	// stop tells the edge to stop. done receives what Run returns.
	stop             context.CancelFunc
	done             chan error
	apiConn, opsConn *bufconn.Listener
	api, ops         *http.Client
	log              *logtest.Log
}

// startEdge starts an edge with local keys, if any, for the accounts appids, or all.
// It is stopped in good order at the end of a test that has not done so.
func startEdge(t *testing.T, b *fakeBroker, keys string, appids ...string) *runningEdge {
	t.Helper()
	c := serveCommand{AppID: appids}
	if keys != "" {
		c.LocalKeyFile = filepath.Join(t.TempDir(), "keys")
		write(t, c.LocalKeyFile, keys)
	}
	return startCommand(t, b, c)
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// startCommand starts an edge as its flags say, but its listeners are in memory. The
// broker is on this machine unless the flags say otherwise.
func startCommand(t *testing.T, b *fakeBroker, c serveCommand) *runningEdge {
	t.Helper()
	apiConn, opsConn := bufconn.Listen(64<<10), bufconn.Listen(64<<10)
	e := &runningEdge{
		t: t, broker: b, done: make(chan error, 1), log: new(logtest.Log),
		apiConn: apiConn, opsConn: opsConn, api: client(apiConn), ops: client(opsConn),
	}
	c.Broker = cmp.Or(c.Broker, "127.0.0.1:7600")
	c.Name = "edge-1" + strings.Repeat("店", 50)
	config, err := c.configure(t.Context(), "v1.2.3", slog.New(slog.NewTextHandler(e.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatal(err)
	}
	config.Broker = "passthrough:///broker"
	config.Dial = append(config.Dial, grpctest.Over(b.dial))
	local, err := daemon.ParseAddress("127.0.0.1:7610")
	if err != nil {
		t.Fatal(err)
	}
	secure, err := c.secure(t.Context(), local, &config)
	if err != nil {
		t.Fatal(err)
	}
	config.Listen, config.Ops = secure(apiConn), opsConn
	ctx, stop := context.WithCancel(t.Context())
	e.stop = stop
	edge, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	go func() { e.done <- edge.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-e.done; err != nil {
			t.Errorf("Run: %v", err)
		}
		e.done <- nil
		e.checkLog()
	})
	synctest.Wait()
	return e
}

// client returns a client of a listener. It keeps no connection, since no goroutine may
// be left in the bubble.
func client(listener *bufconn.Listener) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return listener.DialContext(ctx) },
	}}
}

// checkLog fails when the log has a value that WeChat handed out.
func (e *runningEdge) checkLog() {
	for _, appid := range []string{shop, pay} {
		for _, value := range e.broker.sim.Issued(appid) {
			if strings.Contains(e.log.String(), value) {
				e.t.Errorf("a credential of %s is in the log:\n%s", appid, e.log)
			}
		}
	}
}

// get returns the status and body of a path.
func (e *runningEdge) get(client *http.Client, path, authorization string) (int, string) {
	e.t.Helper()
	r, err := http.NewRequestWithContext(e.t.Context(), http.MethodGet, "http://edge"+path, nil)
	if err != nil {
		e.t.Fatal(err)
	}
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	return e.send(client, r)
}

func (e *runningEdge) send(client *http.Client, r *http.Request) (int, string) {
	e.t.Helper()
	response, err := client.Do(r)
	if err != nil {
		e.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		e.t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// ready fails unless /readyz has that status and its body contains says.
func (e *runningEdge) ready(status int, says string) {
	e.t.Helper()
	if got, body := e.get(e.ops, "/readyz", ""); got != status || !strings.Contains(body, says) {
		e.t.Errorf("/readyz: HTTP %d, %q; want %d that says %q", got, body, status, says)
	}
}

// signed asks for a signature and returns WeChat's verdict, or the status of a
// refusal.
func (e *runningEdge) signed(appid string) (wechatsim.Verdict, int) {
	e.t.Helper()
	status, body := e.get(e.api, "/all?url="+url.QueryEscape(page)+"&appid="+appid, "")
	return e.verdict(status, body), status
}

func (e *runningEdge) verdict(status int, body string) wechatsim.Verdict {
	e.t.Helper()
	var answer struct {
		AppID, NonceStr, Signature, URL string
		Timestamp                       int64
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		e.t.Fatal(err)
	}
	v := e.broker.sim.Verify(answer.AppID, answer.NonceStr, fmt.Sprint(answer.Timestamp), answer.URL, answer.Signature)
	if status != http.StatusOK && answer.Signature != "" {
		e.t.Errorf("HTTP %d with a signature", status)
	}
	return v
}

// signsWith fails unless WeChat accepts a signature of the edge, and it was made with
// the ticket of that number.
func (e *runningEdge) signsWith(appid string, ticket int) {
	e.t.Helper()
	if v, status := e.signed(appid); !v.Accepted || v.Ticket != ticket {
		e.t.Errorf("signing for %s: HTTP %d, %s", appid, status, v.Reason)
	}
}

// refuses fails unless the edge refuses to sign with that status.
func (e *runningEdge) refuses(appid string, want int) {
	e.t.Helper()
	if v, status := e.signed(appid); status != want {
		e.t.Errorf("signing for %s: HTTP %d, want %d (%s)", appid, status, want, v.Reason)
	}
}
