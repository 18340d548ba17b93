package httpapi_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/edge/internal/apitest"
	"github.com/wxbroker/wxbroker/edge/internal/brokertest"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

const (
	large     = 800 * largeStep
	largeStep = 25 << 10 // in gRPC, more than 32 KiB take a buffer of 1 MiB
)

// largeFile is a file of 20 MB.
func largeFile(_ *wxbrokerv1.CallHead, stream brokertest.Stream) error {
	if err := brokertest.SendHead(stream, http.StatusOK, large); err != nil {
		return err
	}
	piece := strings.Repeat("a", largeStep)
	for range large / largeStep {
		if err := brokertest.SendPiece(stream, piece); err != nil {
			return err
		}
	}
	return nil
}

func liveHeap() int64 {
	for range 3 { // what pools keep is let go by the second
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Ten of 20 MB at once take less than 4 MB each in their middle, here that of
// the fake broker and of the clients included. More would only take longer.
func TestLargeFilesInBoundedMemory(t *testing.T) {
	const files, bound = 10, 4 << 20
	w := callsWorld(t, &brokertest.Broker{Answer: largeFile})
	w.quiet()
	server := httptest.NewServer(w.api)
	defer server.Close()
	before := liveHeap()
	measured := make(chan struct{})
	var standing, transfers sync.WaitGroup
	standing.Add(files)
	for range files {
		transfers.Go(func() {
			stand := sync.OnceFunc(standing.Done)
			defer stand() // nobody waits for one that failed
			r, _ := http.NewRequest(http.MethodGet, server.URL+"/v1/media/abc", nil)
			response, err := server.Client().Do(apitest.WithKey(r))
			if err != nil {
				t.Error(err)
				return
			}
			defer response.Body.Close()
			half, err := io.CopyN(io.Discard, response.Body, large/2)
			stand()
			<-measured
			rest, err2 := io.Copy(io.Discard, response.Body)
			if half+rest != large || err != nil || err2 != nil {
				t.Errorf("%d bytes, %v, %v", half+rest, err, err2)
			}
		})
	}
	standing.Wait()
	held := liveHeap() - before
	for range 20 { // what is still on its way leaves garbage between collection and reading
		held = min(held, liveHeap()-before)
	}
	close(measured)
	if held > files*bound {
		t.Errorf("%d KiB are held", held>>10)
	} else {
		t.Logf("%d KiB are held for %d transfers", held>>10, files)
	}
	transfers.Wait()
}

// A client that leaves ends the call.
func TestClientThatLeaves(t *testing.T) {
	ended := make(chan struct{})
	b := &brokertest.Broker{Answer: func(head *wxbrokerv1.CallHead, stream brokertest.Stream) error {
		defer close(ended)
		if head.GetPath() == wxapi.PathMedia {
			_ = brokertest.SendHead(stream, http.StatusOK, -1, "Content-Disposition", "attachment")
		}
		<-stream.Context().Done()
		return nil
	}}
	for name, request := range map[string]string{
		"of media":                      "GET /v1/media/abc HTTP/1.1\r\nHost: edge\r\nAuthorization: Bearer k\r\n\r\n",
		"of a call":                     "POST /cgi-bin/x HTTP/1.1\r\nHost: edge\r\nAuthorization: Bearer k\r\nContent-Length: 2\r\n\r\n{}",
		"of a call by GET, with a body": "GET /cgi-bin/x HTTP/1.1\r\nHost: edge\r\nAuthorization: Bearer k\r\nContent-Length: 2\r\n\r\n{}",
		"of a call, while it sends": "POST /cgi-bin/x HTTP/1.1\r\nHost: edge\r\nAuthorization: Bearer k\r\nContent-Length: 1000000\r\n\r\n" +
			string(make([]byte, 100_000)),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ended = make(chan struct{})
				w := callsWorld(t, b)
				w.quiet()
				dial, stop := apitest.Serve(w.api)
				defer stop()
				conn := dial()
				_, _ = io.WriteString(conn, request)
				synctest.Wait()
				left := time.Now()
				_ = conn.Close()
				<-ended
				if took := time.Since(left); took > time.Second {
					t.Errorf("the call ends after %v", took)
				}
				time.Sleep(time.Second) // in which the server closes
			})
		})
	}
}

// An answer that the broker takes its time for arrives all the same.
func TestSlowBroker(t *testing.T) {
	const key = "Host: edge\r\nAuthorization: Bearer k\r\n"
	const late = 40 * time.Second
	b := &brokertest.Broker{Answer: func(head *wxbrokerv1.CallHead, stream brokertest.Stream) error {
		switch head.GetPath() {
		case wxapi.PathTemplate:
			time.Sleep(25 * time.Second)
			return brokertest.JSON(`{"errcode":0,"errmsg":"ok","msgid":1}`)(head, stream)
		case wxapi.PathMedia:
			time.Sleep(late)
			return brokertest.File(http.StatusOK, -1, nil, `{"video_url":"https://a/"}`)(head, stream)
		}
		time.Sleep(late)
		return brokertest.JSON(`{"errcode":0}`)(head, stream)
	}}
	for name, request := range map[string]string{
		"a message":                        "POST /v1/template/send HTTP/1.0\r\n" + key + "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
		"a file":                           "GET /v1/media/abc HTTP/1.0\r\n" + key + "\r\n",
		"a call":                           "GET /cgi-bin/x HTTP/1.0\r\n" + key + "\r\n",
		"a call with a body":               "POST /cgi-bin/x HTTP/1.0\r\n" + key + "Content-Length: 2\r\n\r\n{}",
		"a call with a body that is empty": "POST /cgi-bin/x HTTP/1.0\r\n" + key + "Content-Length: 0\r\n\r\n",
		"a call with a byte more than can be sent again": "POST /cgi-bin/x HTTP/1.0\r\n" + key + "Content-Length: 65537\r\n\r\n" + strings.Repeat("a", 65537),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := callsWorld(t, b)
				w.quiet()
				dial, stop := apitest.Serve(w.api)
				defer stop()
				conn := dial()
				_, _ = io.WriteString(conn, request)
				if answer, err := io.ReadAll(conn); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.0 200") {
					t.Errorf("answered %q, %v", answer, err)
				}
			})
		})
	}
}

// Over HTTP/2, where a request is no connection, it is the same.
func TestHTTP2(t *testing.T) {
	b := &brokertest.Broker{Answer: func(head *wxbrokerv1.CallHead, stream brokertest.Stream) error {
		switch head.GetPath() {
		case wxapi.PathMedia:
			return brokertest.File(http.StatusOK, 6, nil, "abc", "def")(head, stream)
		case "/cgi-bin/early": // before the body is whole
			return brokertest.Reply(stream, http.StatusOK, "early")
		}
		return brokertest.Echo(head, stream)
	}}
	w := callsWorld(t, b)
	w.quiet()
	server := httptest.NewUnstartedServer(w.api)
	server.EnableHTTP2 = true
	server.Config.ReadTimeout, server.Config.WriteTimeout = 10*time.Second, 20*time.Second
	server.StartTLS()
	defer server.Close()
	endless, never := io.Pipe()
	defer never.Close() // the server's Close waits for whoever reads it
	for _, test := range []struct {
		name, path string
		body       io.Reader
		want       string
	}{
		{"a file", "/v1/media/abc", nil, "abcdef"},
		{"a body", "/cgi-bin/x", strings.NewReader(strings.Repeat("a", 1<<20)), strings.Repeat("a", 1<<20)},
		{"an answer to half a body", "/cgi-bin/early", io.MultiReader(strings.NewReader(strings.Repeat("a", 100_000)), endless), "early"},
	} {
		t.Run(test.name, func(t *testing.T) {
			method := http.MethodGet
			if test.body != nil {
				method = http.MethodPost
			}
			r, _ := http.NewRequest(method, server.URL+test.path, test.body)
			response, err := server.Client().Do(apitest.WithKey(r))
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			got, err := io.ReadAll(response.Body)
			if test.want == "early" {
				_ = never.Close() // for whose next byte the client waits
			}
			if response.ProtoMajor != 2 || string(got) != test.want || err != nil {
				t.Errorf("%s: HTTP %d with %d bytes, %v", response.Proto, response.StatusCode, len(got), err)
			}
		})
	}
}
