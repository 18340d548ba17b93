package wechatsim_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

// overTCP starts a simulator on a real connection, where a reset is a reset.
func overTCP(t *testing.T, onCall func(wechatsim.Call)) *wechat {
	t.Helper()
	sim := wechatsim.New(wechatsim.Config{
		Accounts: []wechatsim.Account{{AppID: appid, Secret: secret}},
		OnCall:   onCall,
	})
	server := httptest.NewServer(sim)
	t.Cleanup(server.Close)
	client := &http.Client{
		// A client with keep-alive repeats a GET after a reset.
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return &wechat{sim, t, server.URL, client}
}

func TestFaultsOverARealConnection(t *testing.T) {
	code := func(want int, contains string) func(*testing.T, int, http.Header, string, error) {
		return func(t *testing.T, status int, _ http.Header, body string, err error) {
			t.Helper()
			var r reply
			if json.Unmarshal([]byte(body), &r) != nil || err != nil || status != 200 {
				t.Fatalf("status %d, body %q, error %v", status, body, err)
			}
			if r.Code != want || !strings.Contains(r.Message, contains) {
				t.Errorf("%d %q, want %d and %q", r.Code, r.Message, want, contains)
			}
		}
	}
	text := func(wantStatus int, contentType, contains string) func(*testing.T, int, http.Header, string, error) {
		return func(t *testing.T, status int, header http.Header, body string, err error) {
			t.Helper()
			if err != nil || status != wantStatus || header.Get("Content-Type") != contentType || !strings.Contains(body, contains) {
				t.Errorf("status %d, type %q, body %q, error %v", status, header.Get("Content-Type"), body, err)
			}
		}
	}
	failing := func(want error) func(*testing.T, int, http.Header, string, error) {
		return func(t *testing.T, _ int, _ http.Header, body string, err error) {
			t.Helper()
			if !errors.Is(err, want) {
				t.Errorf("body of %d bytes, error %v, want %v", len(body), err, want)
			}
		}
	}
	const jsonType = "application/json; encoding=utf-8"
	tests := []struct {
		name   string
		fault  wechatsim.Fault
		minted int // values that came into being all the same
		check  func(t *testing.T, status int, header http.Header, body string, err error)
	}{
		{"code", wechatsim.Fault{Kind: wechatsim.FaultCode, Code: 45009}, 0, code(45009, "reach max api daily quota limit rid: ")},
		{"code with a message", wechatsim.Fault{Kind: wechatsim.FaultCode, Code: 50004, Message: "forbidden"}, 0, code(50004, "forbidden rid: ")},
		{"code without words", wechatsim.Fault{Kind: wechatsim.FaultCode, Code: -1}, 0, code(-1, "system error rid: ")},
		{"address code", wechatsim.Fault{Kind: wechatsim.FaultCode, Code: 40164}, 0, code(40164, "invalid ip 127.0.0.1 ipv6 ::ffff:127.0.0.1, not in whitelist")},
		{"echo", wechatsim.Fault{Kind: wechatsim.FaultEcho}, 0, code(40013, "&secret="+secret)},
		{"status", wechatsim.Fault{Kind: wechatsim.FaultStatus, Status: 503, Body: "busy"}, 0, text(503, "text/plain; charset=utf-8", "busy")},
		{"html", wechatsim.Fault{Kind: wechatsim.FaultHTML}, 0, text(200, "text/html; charset=utf-8", "<html>")},
		{"html of our own", wechatsim.Fault{Kind: wechatsim.FaultHTML, Status: 502, Body: "<p>"}, 0, text(502, "text/html; charset=utf-8", "<p>")},
		{"malformed", wechatsim.Fault{Kind: wechatsim.FaultMalformed}, 0, text(200, jsonType, `{"access_token":"80_`)},
		{"malformed of our own", wechatsim.Fault{Kind: wechatsim.FaultMalformed, Body: "[]"}, 0, text(200, jsonType, "[]")},
		{"truncated", wechatsim.Fault{Kind: wechatsim.FaultTruncate}, 1, failing(io.ErrUnexpectedEOF)},
		{"reset", wechatsim.Fault{Kind: wechatsim.FaultReset}, 0, failing(syscall.ECONNRESET)},
		{"lost", wechatsim.Fault{Kind: wechatsim.FaultLost}, 1, failing(syscall.ECONNRESET)},
		{"hang for a time", wechatsim.Fault{Kind: wechatsim.FaultHang, Duration: time.Millisecond}, 0, failing(io.EOF)},
		{"empty", wechatsim.Fault{Kind: wechatsim.FaultEmpty}, 0, func(t *testing.T, status int, _ http.Header, body string, err error) {
			t.Helper()
			if err != nil || status != 200 || body != "" {
				t.Errorf("status %d, body %q, error %v", status, body, err)
			}
		}},
		{"oversized", wechatsim.Fault{Kind: wechatsim.FaultOversize, Megabytes: 3}, 0, func(t *testing.T, _ int, _ http.Header, body string, err error) {
			t.Helper()
			if len(body) < 3<<20 || len(body) > 4<<20 || err == nil {
				t.Errorf("body of %d bytes, error %v", len(body), err)
			}
		}},
		{"redirect", wechatsim.Fault{Kind: wechatsim.FaultRedirect, Location: "http://127.0.0.1:9/elsewhere"}, 0, func(t *testing.T, status int, header http.Header, _ string, err error) {
			t.Helper()
			if err != nil || status != 302 || header.Get("Location") != "http://127.0.0.1:9/elsewhere" {
				t.Errorf("status %d, location %q, error %v", status, header.Get("Location"), err)
			}
		}},
		{"redirect that keeps the method", wechatsim.Fault{Kind: wechatsim.FaultRedirect, Status: 307, Location: "/"}, 0, func(t *testing.T, status int, _ http.Header, _ string, err error) {
			t.Helper()
			if err != nil || status != 307 {
				t.Errorf("status %d, error %v", status, err)
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := overTCP(t, nil)
			tt.fault.Count = 1
			if err := w.Inject(tt.fault); err != nil {
				t.Fatal(err)
			}
			status, header, body, err := w.exchange("GET", classicPath(appid, secret), "")
			tt.check(t, status, header, body, err)
			if n := len(w.Issued(appid)); n != tt.minted {
				t.Errorf("%d values minted, want %d", n, tt.minted)
			}
			match := wechatsim.Call{AppID: appid, API: wechatsim.PathToken, Outcome: "fault:" + string(tt.fault.Kind)}
			if n := w.Count(match); n != 1 {
				t.Errorf("counted %d times, want once", n)
			}
			w.granted(w.classic()) // the fault was for one call
		})
	}
}

func TestHangEndsWhenTheClientLeaves(t *testing.T) {
	for _, tt := range []struct{ name, method, path, body string }{
		{"GET", "GET", classicPath(appid, secret), ""},
		{"POST", "POST", wechatsim.PathStableToken, stableBody(false)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			w := overTCP(t, func(wechatsim.Call) { leave() })
			if err := w.Inject(wechatsim.Fault{Kind: wechatsim.FaultHang}); err != nil {
				t.Fatal(err)
			}
			req, err := http.NewRequestWithContext(ctx, tt.method, w.base+tt.path, strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			res, err := w.client.Do(req)
			if err == nil {
				res.Body.Close()
			}
			if !errors.Is(err, context.Canceled) {
				t.Errorf("error %v, want that the client left", err)
			}
			// The server's Close returns only when its last request has ended.
		})
	}
}

func TestDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{})
		for _, f := range []wechatsim.Fault{
			{Kind: wechatsim.FaultDelay, Duration: time.Minute, Count: 2},
			{Kind: wechatsim.FaultCode, Code: -1, Count: 1},
		} {
			if err := w.Inject(f); err != nil {
				t.Fatal(err)
			}
		}
		for i, want := range []struct {
			code int
			took time.Duration
		}{{-1, time.Minute}, {0, time.Minute}, {0, 0}} {
			start := time.Now()
			r := w.classic()
			if r.Code != want.code || time.Since(start) != want.took {
				t.Errorf("call %d: code %d after %v, want %d after %v", i+1, r.Code, time.Since(start), want.code, want.took)
			}
		}
	})
}

func TestDelayedCallHasNoEffectWhenTheClientLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{})
		if err := w.Inject(wechatsim.Fault{Kind: wechatsim.FaultDelay, Duration: time.Minute}); err != nil {
			t.Fatal(err)
		}
		w.client.Timeout = time.Second
		if _, _, _, err := w.exchange("GET", classicPath(appid, secret), ""); err == nil {
			t.Fatal("answered")
		}
		time.Sleep(2 * time.Minute)
		if n := len(w.Issued(appid)); n != 0 {
			t.Errorf("%d values minted", n)
		}
	})
}

func TestHangForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{})
		if err := w.Inject(wechatsim.Fault{Kind: wechatsim.FaultHang, Duration: time.Hour}); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if _, _, _, err := w.exchange("POST", wechatsim.PathStableToken, stableBody(false)); !errors.Is(err, io.EOF) {
			t.Errorf("error %v, want EOF", err)
		}
		if took := time.Since(start); took != time.Hour {
			t.Errorf("hung for %v", took)
		}
	})
}

func TestLostAnswerTakesEffect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{TokenOverlap: wechatsim.None})
		token := w.granted(w.classic())
		if err := w.Inject(wechatsim.Fault{Kind: wechatsim.FaultLost, Path: wechatsim.PathToken, Count: 1}); err != nil {
			t.Fatal(err)
		}
		if _, _, _, err := w.exchange("GET", classicPath(appid, secret), ""); err == nil {
			t.Fatal("answered")
		}
		if code := w.probe(token); code != 40001 {
			t.Errorf("the token before: %d, want 40001", code)
		}
	})
}

func TestFaultsMatchByPathAndCountDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{})
		for _, f := range []wechatsim.Fault{
			{Kind: wechatsim.FaultCode, Code: -1, Path: wechatsim.PathToken, Count: 2},
			{Kind: wechatsim.FaultCode, Code: 45011, Path: wechatsim.PathStableToken},
		} {
			if err := w.Inject(f); err != nil {
				t.Fatal(err)
			}
		}
		for i, want := range []int{-1, -1, 0} {
			if r := w.classic(); r.Code != want {
				t.Errorf("classic call %d: %d, want %d", i+1, r.Code, want)
			}
			if r := w.stable(false); r.Code != 45011 {
				t.Errorf("stable call %d: %d, want 45011", i+1, r.Code)
			}
		}
		if left := w.Faults(); len(left) != 1 || left[0].Path != wechatsim.PathStableToken {
			t.Errorf("left: %v", left)
		}
		w.ClearFaults()
		w.granted(w.stable(false))
	})
}

func TestFaultsHitTheQuotaCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{ClearsPerMonth: 1})
		token := w.granted(w.classic())
		for _, f := range []wechatsim.Fault{
			{Kind: wechatsim.FaultCode, Code: 76021, Path: wechatsim.PathQuota, Count: 1},
			{Kind: wechatsim.FaultCode, Code: 48006, Path: wechatsim.PathClearQuota, Count: 1},
			{Kind: wechatsim.FaultLost, Path: wechatsim.PathClearQuota, Count: 1},
		} {
			if err := w.Inject(f); err != nil {
				t.Fatal(err)
			}
		}
		if r := w.quota(token, wechatsim.PathToken); r.Code != 76021 || !strings.HasPrefix(r.Message, "cgi_path not found, please check rid: ") {
			t.Errorf("quota: %d %q", r.Code, r.Message)
		}
		if r := w.clear(); r.Code != 48006 || !strings.HasPrefix(r.Message, "forbid to clear quota because of reaching the limit rid: ") {
			t.Errorf("clear: %d %q", r.Code, r.Message)
		}
		if r := w.quota(token, wechatsim.PathToken); r.Quota.Used != 1 {
			t.Errorf("a refused clear took effect: %+v", r.Quota)
		}
		if _, _, _, err := w.exchange("POST", wechatsim.PathClearQuota, clearBody(appid, secret)); err == nil {
			t.Error("the lost answer arrived")
		}
		if r := w.quota(token, wechatsim.PathToken); r.Quota.Used != 0 {
			t.Errorf("a clear whose answer was lost had no effect: %+v", r.Quota)
		}
		if r := w.clear(); r.Code != 48006 {
			t.Errorf("after the only clear of the month: %d, want 48006", r.Code)
		}
		for _, outcome := range []string{"fault:errcode", "fault:lost", "48006"} {
			if n := w.Count(wechatsim.Call{AppID: appid, API: wechatsim.PathClearQuota, Outcome: outcome}); n != 1 {
				t.Errorf("%s counted %d times, want once", outcome, n)
			}
		}
	})
}

func TestFaultsThatMakeNoSense(t *testing.T) {
	tests := []struct {
		name  string
		fault wechatsim.Fault
		want  string
	}{
		{"no kind", wechatsim.Fault{}, "unknown kind"},
		{"unknown kind", wechatsim.Fault{Kind: "boom"}, "unknown kind"},
		{"unknown path", wechatsim.Fault{Kind: wechatsim.FaultReset, Path: "/cgi-bin/tokn"}, "no API at path"},
		{"no code", wechatsim.Fault{Kind: wechatsim.FaultCode}, "needs code"},
		{"no status", wechatsim.Fault{Kind: wechatsim.FaultStatus}, "needs status"},
		{"no location", wechatsim.Fault{Kind: wechatsim.FaultRedirect}, "needs location"},
		{"no duration", wechatsim.Fault{Kind: wechatsim.FaultDelay}, "needs duration"},
		{"impossible status", wechatsim.Fault{Kind: wechatsim.FaultStatus, Status: 99}, "status 99"},
		{"redirect without redirecting", wechatsim.Fault{Kind: wechatsim.FaultRedirect, Status: 200, Location: "/"}, "does not redirect"},
		{"unused field", wechatsim.Fault{Kind: wechatsim.FaultReset, Body: "x"}, "does not use body"},
		{"negative count", wechatsim.Fault{Kind: wechatsim.FaultReset, Count: -1}, "negative"},
		{"location that is no URL", wechatsim.Fault{Kind: wechatsim.FaultRedirect, Location: "http://%"}, "location"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sim := wechatsim.New(wechatsim.Config{})
			err := sim.Inject(tt.fault)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if len(sim.Faults()) != 0 {
				t.Error("injected all the same")
			}
		})
	}
}
