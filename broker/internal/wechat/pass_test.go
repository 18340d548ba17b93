package wechat_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wechatsim/simtest"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

func passed(t *testing.T, client *wechat.Client, r wechat.Request) (*wechat.Answer, string, error) {
	t.Helper()
	r.AppID, r.API = appid, wechat.CallAPI
	answer, err := client.Pass(t.Context(), r)
	if err != nil {
		return nil, "", err
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	return answer, string(raw), err
}

// TestPass: what WeChat gets, and what comes back.
func TestPass(t *testing.T) {
	var seen *http.Request
	var body string
	client := wechat.New(wechat.Options{Upstreams: []*url.URL{serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		seen, body = r, string(raw)
		w.Header().Set("Content-Type", "image/png")
		w.Header().Set("Set-Cookie", "a=b")
		w.Header().Set("X-Token", r.URL.Query().Get("access_token"))
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, "a picture")
	}))}})
	answer, got, err := passed(t, client, wechat.Request{
		Method: http.MethodPost, Path: "/cgi-bin/x", Query: "b=%E5%9B%BE&a=1", ContentType: "text/plain", Range: "bytes=0-1",
		Body: strings.NewReader("hello"), Length: 5, Secrets: []wechat.Parameter{{Name: "access_token", Value: credential.NewSecret("the&token")}},
	})
	if err != nil || got != "a picture" || answer.Status != http.StatusCreated || answer.Length != 9 || answer.Refusal != nil {
		t.Errorf("%+v, %q, %v", answer, got, err)
	}
	if seen.URL.RawQuery != "b=%E5%9B%BE&a=1&access_token=the%26token" || body != "hello" || seen.ContentLength != 5 || seen.Header.Get("Content-Type") != "text/plain" || seen.Header.Get("Range") != "bytes=0-1" {
		t.Errorf("%+v %q", seen, body)
	}
	if h := answer.Header; len(h) != 1 || h.Get("Content-Type") != "image/png" {
		t.Errorf("headers %v", h)
	}
	if _, _, err := passed(t, client, wechat.Request{Method: http.MethodPost, Path: "/x", Body: strings.NewReader(""), Length: 0}); err != nil || seen.ContentLength != 0 {
		t.Errorf("an empty body: %v, length %d", err, seen.ContentLength)
	}
	if _, _, err := passed(t, client, wechat.Request{Method: http.MethodPost, Path: "/x", Body: io.MultiReader(strings.NewReader("abc")), Length: -1}); err != nil || body != "abc" {
		t.Errorf("a body of unknown length: %v, %q", err, body)
	}
}

// TestEchoesInHeaders: whatever header of an answer has the token or the
// AppSecret in it, what is passed on has stars in its place.
func TestEchoesInHeaders(t *testing.T) {
	const token, secret = "80_the&token", "s3cret+of/ours"
	names := []string{
		"Content-Type", "Content-Disposition", "Content-Range", "Accept-Ranges", "Last-Modified", "Etag",
		"Content-Language", "Location", "Set-Cookie", "Link", "Warning", "X-Anything", "Access-Control-Allow-Origin",
	}
	for _, tt := range []struct{ name, echo, want string }{
		{"as they are", "a" + token + ";" + secret + ";" + token + "z", "a" + strings.Repeat("*", 12) + ";" + strings.Repeat("*", 14) + ";" + strings.Repeat("*", 12) + "z"},
		{"escaped", "a" + url.QueryEscape(token) + ";" + url.QueryEscape(secret), "a" + strings.Repeat("*", 14) + ";" + strings.Repeat("*", 18)},
		{"not there", "an ordinary value", "an ordinary value"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client := wechat.New(wechat.Options{Upstreams: []*url.URL{serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				for _, name := range names {
					w.Header().Set(name, tt.echo)
				}
				fmt.Fprint(w, "a file")
			}))}})
			answer, _, err := passed(t, client, wechat.Request{
				Method: http.MethodGet, Path: "/cgi-bin/x", Secrets: []wechat.Parameter{{Name: "access_token", Value: credential.NewSecret(token)}, {Name: "secret", Value: credential.NewSecret(secret)}},
			})
			if err != nil {
				t.Fatal(err)
			}
			for name, values := range answer.Header {
				for _, value := range values {
					if value != tt.want {
						t.Errorf("%s is %q, want %q", name, value, tt.want)
					}
				}
			}
			if len(answer.Header) == 0 {
				t.Error("no header is passed on: this test shows nothing")
			}
			// What WeChat may say back for good reason is hidden by who asked for it.
			returned, _, err := passed(t, client, wechat.Request{
				Method: http.MethodGet, Path: "/cgi-bin/x", Secrets: []wechat.Parameter{{Name: "refresh_token", Value: credential.NewSecret(token), Returned: true}},
			})
			if got := returned.Header.Get("Content-Type"); err != nil || got != tt.echo {
				t.Errorf("said back: %q, %v", got, err)
			}
		})
	}
}

// TestRefusalsThatArePassedOn: they are known, and can be read.
func TestRefusalsThatArePassedOn(t *testing.T) {
	long := `{"errcode":40001,"errmsg":"` + strings.Repeat("x", 9000) + `"}`
	for _, tt := range []struct {
		name, body string
		code       int
	}{
		{"a refusal", `{"errcode":40001,"errmsg":"invalid credential"}`, 40001},
		{"with spaces", " \n{\"errcode\": 45009 ,\"errmsg\":\"\"}\n", 45009},
		{"success", `{"errcode":0,"errmsg":"ok"}`, 0},
		{"no code", `{"list":[]}`, 0},
		{"no JSON", "errcode: 40001", 0},
		{"nothing", "", 0},
		{"too long to be one", long, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client := wechat.New(wechat.Options{Upstreams: []*url.URL{serve(t, body(tt.body))}})
			answer, got, err := passed(t, client, wechat.Request{Method: http.MethodGet, Path: "/cgi-bin/x"})
			if err != nil || got != tt.body {
				t.Errorf("%q, %v", got, err)
			}
			code := 0
			if answer.Refusal != nil {
				code = int(answer.Refusal.Code)
			}
			if code != tt.code {
				t.Errorf("code %d, want %d", code, tt.code)
			}
		})
	}
}

// TestPassFails: which failures are whose.
func TestPassFails(t *testing.T) {
	for _, tt := range []struct {
		name    string
		handler http.HandlerFunc
		class   wxapi.Class
		says    string
		blamed  bool // the host
	}{
		{"out of order", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, wxapi.Transient, "HTTP 502", true},
		{"too often", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) }, wxapi.Rate, "HTTP 429", false},
		{"elsewhere", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		}, wxapi.Transient, "redirect", false},
		{"no answer", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, wxapi.Transient, "", true},
		{"half a refusal", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, `{"errcode":`)
		}, wxapi.Transient, "reading the answer", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var calls atomic.Int64
			first := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { calls.Add(1); tt.handler(w, r) }))
			second := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls.Add(1) }))
			client := wechat.New(wechat.Options{Upstreams: []*url.URL{first, second}})
			_, _, err := passed(t, client, wechat.Request{Method: http.MethodGet, Path: "/cgi-bin/x", Secrets: []wechat.Parameter{{Name: "access_token", Value: credential.NewSecret("hunter2")}}})
			e := asError(t, err)
			if e.Class != tt.class || !strings.Contains(e.Error(), tt.says) || strings.Contains(e.Error(), "hunter2") {
				t.Errorf("%s: %v", e.Class, e)
			}
			if n := calls.Load(); n != 1 {
				t.Errorf("sent %d times", n)
			}
			want := first.Host
			if tt.blamed {
				want = second.Host
			}
			if client.Upstream() != want {
				t.Errorf("the next call goes to %s, want %s", client.Upstream(), want)
			}
		})
	}
}

// TestBodiesThatFail are nobody's fault but their sender's.
func TestBodiesThatFail(t *testing.T) {
	for _, tt := range []struct {
		name   string
		body   io.Reader
		length int64
	}{
		{"broken", io.MultiReader(strings.NewReader("abc"), failing{}), -1},
		{"too short", strings.NewReader("abc"), 5},
		{"too long", strings.NewReader("abcdef"), 5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			host := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
			client := wechat.New(wechat.Options{Upstreams: []*url.URL{host, {Scheme: "http", Host: "127.0.0.1:2"}}})
			_, _, err := passed(t, client, wechat.Request{Method: http.MethodPost, Path: "/cgi-bin/x", Body: tt.body, Length: tt.length})
			if !errors.Is(err, wechat.ErrBody) {
				t.Errorf("%v", err)
			}
			if client.Upstream() != host.Host {
				t.Error("the host is blamed")
			}
		})
	}
}

// TestRequestsThatAreNone are not sent, and nobody is blamed.
func TestRequestsThatAreNone(t *testing.T) {
	calls := 0
	host := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls++ }))
	client := wechat.New(wechat.Options{Upstreams: []*url.URL{host, {Scheme: "http", Host: "127.0.0.1:2"}}})
	for _, r := range []wechat.Request{{ContentType: "a\nb"}, {Range: "bytes=0-1\r\nX: y"}, {ContentType: strings.Repeat("a", 300)}, {ContentType: "text/图"}} {
		r.Method, r.Path = http.MethodGet, "/cgi-bin/x"
		if _, _, err := passed(t, client, r); !errors.Is(err, wechat.ErrRequest) {
			t.Errorf("%q %q: %v", r.ContentType, r.Range, err)
		}
	}
	if calls != 0 || client.Upstream() != host.Host {
		t.Errorf("%d were sent, and the next goes to %s", calls, client.Upstream())
	}
}

// TestConnections: POSTs share one, and each GET has its own, since net/http
// would repeat one whose kept connection breaks.
func TestConnections(t *testing.T) {
	var opened atomic.Int64
	server := httptest.NewUnstartedServer(body("{}"))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	host, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	client := wechat.New(wechat.Options{Upstreams: []*url.URL{host}})
	for method, want := range map[string]int64{http.MethodPost: 1, http.MethodGet: 5} {
		opened.Store(0)
		for range 5 {
			again := func() io.Reader { return strings.NewReader("a") }
			r := wechat.Request{Method: method, Path: "/x"}
			if method == http.MethodPost {
				r.Body, r.Length, r.Again = again(), 1, again
			}
			if _, _, err := passed(t, client, r); err != nil {
				t.Error(err)
			}
		}
		if n := opened.Load(); n != want {
			t.Errorf("five calls by %s opened %d connections, want %d", method, n, want)
		}
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("gone") }

// TestStandstill: nothing that moves is broken off, and what stands still is.
func TestStandstill(t *testing.T) {
	run := func(t *testing.T, handler http.HandlerFunc, check func(*testing.T, *wechat.Client)) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			check(t, wechat.New(wechat.Options{
				Upstreams: []*url.URL{{Scheme: "http", Host: "127.0.0.1:1"}},
				Dial:      simtest.Serve(t, handler).Dial,
			}))
		})
	}
	drip := func(every time.Duration) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			for range 10 {
				_, _ = w.Write(make([]byte, 16<<10))
				_ = http.NewResponseController(w).Flush()
				select {
				case <-time.After(every):
				case <-r.Context().Done():
					return
				}
			}
		}
	}
	t.Run("slow", func(t *testing.T) {
		run(t, drip(20*time.Second), func(t *testing.T, client *wechat.Client) {
			if _, got, err := passed(t, client, wechat.Request{Method: http.MethodGet, Path: "/x"}); err != nil || len(got) != 160<<10 {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	})
	t.Run("still", func(t *testing.T) {
		run(t, drip(time.Hour), func(t *testing.T, client *wechat.Client) {
			start := time.Now()
			if _, _, err := passed(t, client, wechat.Request{Method: http.MethodGet, Path: "/x"}); err == nil || time.Since(start) != 30*time.Second {
				t.Errorf("%v after %v", err, time.Since(start))
			}
		})
	})
	t.Run("silent", func(t *testing.T) {
		run(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, func(t *testing.T, client *wechat.Client) {
			start := time.Now()
			_, _, err := passed(t, client, wechat.Request{Method: http.MethodGet, Path: "/x"})
			if e := asError(t, err); time.Since(start) != 30*time.Second || !strings.Contains(e.Error(), "no answer in time") {
				t.Errorf("%v after %v", err, time.Since(start))
			}
		})
	})
}
