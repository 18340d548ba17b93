package daemon

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

func TestServeEndsCallsThatHang(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	logged, stderr := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- serve(ctx, l, wechatsim.Config{}, slog.New(slog.NewTextHandler(stderr, nil))) }()
	go func() { // stop as soon as the call hangs
		var log strings.Builder
		buffer := make([]byte, 1<<12)
		for {
			n, err := logged.Read(buffer)
			if err != nil {
				return
			}
			log.Write(buffer[:n])
			if strings.Contains(log.String(), "outcome=fault:hang") {
				cancel()
			}
		}
	}()
	res, err := http.Post("http://"+l.Addr().String()+"/sim/faults", "application/json", strings.NewReader(`{"kind":"hang"}`))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err = client.Get("http://" + l.Addr().String() + wechatsim.PathToken)
	if err == nil {
		res.Body.Close()
	}
	if !errors.Is(err, io.EOF) {
		t.Errorf("the call that hung: %v, want EOF", err)
	}
	if err := <-done; err != nil {
		t.Errorf("serve: %v", err)
	}
	stderr.Close()
}

func TestFullVersionPrefersTheLinkers(t *testing.T) {
	if got := fullVersion("v1.2.3"); got != "v1.2.3" {
		t.Errorf("got %q", got)
	}
	if got := fullVersion("dev"); got == "" {
		t.Error("no version at all")
	}
}
