package httpapi_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

const (
	large     = 800 * largeStep
	largeStep = 25 << 10 // in gRPC, more than 32 KiB take a buffer of 1 MiB
)

// largeFile is a file of 20 MB.
func largeFile(_ *wxbrokerv1.CallHead, stream callStream) error {
	if err := sendHead(stream, http.StatusOK, large); err != nil {
		return err
	}
	piece := strings.Repeat("a", largeStep)
	for range large / largeStep {
		if err := sendPiece(stream, piece); err != nil {
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
	w := callsWorld(t, &fakeBroker{media: largeFile})
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
			response, err := server.Client().Do(withKey(r))
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

// quiet has a world note nothing, where several ask at once.
func (w *world) quiet() {
	w.api.Answered = func(string, int) {}
	w.api.Audit = silent
}

// served runs the API behind a server with the timeouts of the program's, in a
// bubble, and returns what connects to it.
func (w *world) served() (dial func() net.Conn, stop func()) {
	listener := pipes{make(chan net.Conn), make(chan struct{})}
	server := &http.Server{Handler: w.api, ReadTimeout: 10 * time.Second, WriteTimeout: 20 * time.Second, Protocols: new(http.Protocols)}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	go func() { _ = server.Serve(listener) }()
	return func() net.Conn {
		ours, theirs := net.Pipe()
		listener.conns <- theirs
		return ours
	}, func() { _ = server.Close() }
}

// pipes listens in memory. Unlike bufconn's, its connections mind a deadline
// that has passed, as those of the network do.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p pipes) Close() error   { close(p.closed); return nil }
func (p pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes", Net: "unix"} }

const askMedia = "GET /v1/media/abc HTTP/1.1\r\nHost: edge\r\nAuthorization: Bearer k\r\n\r\n"

// A client that takes little at a time gets the whole file, however long that
// takes; one that takes nothing is cut off, and the call with it.
func TestSlowClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan time.Time, 2)
		const size = 160 * largeStep
		b := &fakeBroker{media: func(_ *wxbrokerv1.CallHead, stream callStream) error {
			defer func() { ended <- time.Now() }()
			err := sendHead(stream, http.StatusOK, size)
			for range size / largeStep {
				if err == nil {
					err = sendPiece(stream, strings.Repeat("a", largeStep))
				}
			}
			return err
		}}
		w := callsWorld(t, b)
		w.quiet()
		dial, stop := w.served()
		defer stop()
		stuck, slow := dial(), dial()
		defer stuck.Close()
		defer slow.Close()
		began := time.Now()
		_, _ = io.WriteString(stuck, askMedia)
		_, _ = io.WriteString(slow, askMedia)
		var got int
		buffer := make([]byte, 32<<10)
		for got < size {
			time.Sleep(15 * time.Second)
			n, err := io.ReadFull(slow, buffer)
			if got += n; err != nil && got < size {
				t.Fatalf("cut off after %v and %d bytes: %v", time.Since(began), got, err)
			}
		}
		if took := time.Since(began); took < 30*time.Minute {
			t.Errorf("the slow client took %v, which shows nothing", took)
		}
		if cut := (<-ended).Sub(began); cut < 20*time.Second || cut > time.Minute {
			t.Errorf("the stuck client was cut off after %v", cut)
		}
		<-ended
		if n, err := io.Copy(io.Discard, stuck); err != nil || n > 1<<20 {
			t.Errorf("the stuck client got %d bytes, %v", n, err)
		}
	})
}

// A client that leaves ends the call.
func TestClientThatLeaves(t *testing.T) {
	ended := make(chan struct{})
	b := &fakeBroker{
		media: func(_ *wxbrokerv1.CallHead, stream callStream) error {
			defer close(ended)
			_ = sendHead(stream, http.StatusOK, -1, "Content-Disposition", "attachment")
			<-stream.Context().Done()
			return nil
		},
		call: func(_ *wxbrokerv1.CallHead, stream callStream) error {
			defer close(ended)
			<-stream.Context().Done()
			return nil
		},
	}
	for name, request := range map[string]string{
		"of media":                      askMedia,
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
				dial, stop := w.served()
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
	late := 40 * time.Second
	b := &fakeBroker{
		delay: 25 * time.Second,
		media: func(head *wxbrokerv1.CallHead, stream callStream) error {
			time.Sleep(late)
			return file(http.StatusOK, -1, nil, `{"video_url":"https://a/"}`)(head, stream)
		},
		call: func(_ *wxbrokerv1.CallHead, stream callStream) error {
			time.Sleep(late)
			return answerCall(stream, 200, `{"errcode":0}`)
		},
	}
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
				dial, stop := w.served()
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
	b := &fakeBroker{media: file(http.StatusOK, 6, nil, "abc", "def"), call: func(head *wxbrokerv1.CallHead, stream callStream) error {
		if head.GetPath() == "/cgi-bin/early" { // before the body is whole
			return answerCall(stream, http.StatusOK, "early")
		}
		return echo(head, stream)
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
			response, err := server.Client().Do(withKey(r))
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
