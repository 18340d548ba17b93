package e2e

import (
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// TestFewOpenFiles: a program that may have few open files holds fewer connections.
// Strangers who open more than it has files keep out no probe.
func TestFewOpenFiles(t *testing.T) {
	t.Parallel()
	few := func(name string, args ...string) *process {
		return run(t, nil, "/bin/sh", append([]string{"-c", `ulimit -n 400; exec "$0" "$@"`, filepath.Join(bin, name)}, args...)...)
	}
	sim := start(t, "wxsim", "--listen", "127.0.0.1:0", "--appid", appid, "--secret", secret)
	broker := few("wxbroker", "serve", "--config", configure(t, t.TempDir(), sim.says(t, `addr=(\S+)`)[1], "127.0.0.1:0"))
	broker.says(t, `"listen.max_connections is lowered" what="this process may have only 400 open files, so it holds 100 connections and not 10000: raise LimitNOFILE`)
	up := broker.says(t, `"broker is up" grpc=(\S+) ops=(\S+)`)
	edge := few("wxedge", "serve", "--broker", up[1], "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0")
	edge.says(t, `"--max-connections is lowered" what="this process may have only 400 open files, so it holds 100 connections and not 1000: raise`)
	edgeUp := edge.says(t, `"edge is up" listen=(\S+) ops=(\S+)`)
	edge.says(t, `holding appid=`+appid+` kind=jsapi_ticket`)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, address := range []string{up[1], edgeUp[1]} {
		const strangers = 450
		var hoarded atomic.Int64
		for range strangers {
			go hoard(ctx, address, &hoarded)
		}
		if !until(ctx, func() bool { return hoarded.Load() >= strangers }) {
			t.Fatalf("only %d connections were opened", hoarded.Load())
		}
	}
	// As kubelet does, each probe opens a connection of its own. For three seconds, since
	// the programs take the strangers' connections at their own pace.
	pace := time.NewTicker(100 * time.Millisecond)
	defer pace.Stop()
	client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for range 30 {
		<-pace.C
		for _, ops := range []string{up[2], edgeUp[2]} {
			answer, err := client.Get("http://" + ops + "/healthz")
			if err != nil {
				t.Fatal(err)
			}
			if answer.Body.Close(); answer.StatusCode != http.StatusOK {
				t.Errorf("a probe gets %s", answer.Status)
			}
		}
	}
}

// hoard holds a connection on which it sends nothing, and opens another soon after its
// end. It counts them.
func hoard(ctx context.Context, address string, opened *atomic.Int64) {
	var dialer net.Dialer
	pace := time.NewTicker(100 * time.Millisecond)
	defer pace.Stop()
	for ; ctx.Err() == nil; <-pace.C {
		conn, err := dialer.DialContext(ctx, "tcp", address)
		if err != nil {
			continue
		}
		opened.Add(1)
		stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
		_, _ = io.Copy(io.Discard, conn) // until the program closes it
		stop()
		_ = conn.Close()
	}
}
