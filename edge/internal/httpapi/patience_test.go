package httpapi_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"

	"github.com/wxbroker/wxbroker/edge/internal/broker"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// overBoth runs a test with a client of either protocol, each in a bubble of
// its own.
func overBoth(t *testing.T, b *fakeBroker, test func(*testing.T, *http.Client), options ...grpc.ServerOption) {
	t.Helper()
	for _, version := range []int{1, 2} {
		t.Run(fmt.Sprint("HTTP ", version), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := callsWorld(t, b)
				w.quiet()
				const window = 256 << 10 // it takes no more ahead than the real one does
				w.connect(b, append(options, grpc.StaticStreamWindowSize(window), grpc.StaticConnWindowSize(16*window))...)
				dial, stop := w.served()
				defer stop()
				transport := &http.Transport{
					DialContext: func(context.Context, string, string) (net.Conn, error) { return dial(), nil },
					Protocols:   new(http.Protocols),
				}
				defer transport.CloseIdleConnections()
				transport.Protocols.SetHTTP1(version == 1)
				transport.Protocols.SetUnencryptedHTTP2(version == 2)
				test(t, &http.Client{Transport: transport})
			})
		})
	}
}

// asked sends a request with the key and returns what is answered.
func asked(client *http.Client, method, path string, body io.Reader) (string, error) {
	r, _ := http.NewRequest(method, "http://edge"+path, body)
	response, err := client.Do(withKey(r))
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	return string(answer), err
}

// trickle is a body that has a byte every 15 s, after some that it has at once,
// until it is closed or an hour has passed.
type trickle struct {
	atOnce io.Reader
	ends   time.Time
	once   sync.Once
	closed chan struct{}
}

func trickling(atOnce int) *trickle {
	return &trickle{atOnce: strings.NewReader(strings.Repeat("a", atOnce)), ends: time.Now().Add(time.Hour), closed: make(chan struct{})}
}

func (r *trickle) Read(p []byte) (int, error) {
	if n, err := r.atOnce.Read(p); err == nil {
		return n, nil
	}
	if time.Now().After(r.ends) {
		return 0, io.EOF
	}
	select {
	case <-r.closed:
		return 0, io.ErrClosedPipe
	case <-time.After(15 * time.Second):
		return copy(p, "a"), nil
	}
}

func (r *trickle) Close() error {
	r.once.Do(func() { close(r.closed) })
	return nil
}

// Who sends a byte now and then holds no connection for long. A stranger may
// not send anything at all.
func TestTrickles(t *testing.T) {
	tests := []struct {
		name, method, path string
		atOnce             int
		says               string
		within             time.Duration
	}{
		{"to where only GET is taken", "POST", "/sns/userinfo?access_token=x", 0, `{"errcode":43001,`, 3 * time.Second},
		{"of a GET", "GET", "/sns/userinfo?access_token=x", 0, `{"errcode":47001,`, 21 * time.Second},
		{"from the beginning", "POST", "/cgi-bin/x", 0, `{"errcode":47001,`, 21 * time.Second},
		{"after what can be sent again", "POST", "/cgi-bin/x", 65536, `{"errcode":47001,`, 21 * time.Second},
		{"after much", "POST", "/cgi-bin/x", 4 << 20, `{"errcode":47001,`, 21 * time.Second},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			overBoth(t, &fakeBroker{call: echo}, func(t *testing.T, client *http.Client) {
				body := trickling(test.atOnce)
				defer body.Close()
				began := time.Now()
				answer, err := asked(client, test.method, test.path, body)
				if took := time.Since(began); !strings.HasPrefix(answer, test.says) || err != nil || took > test.within {
					t.Errorf("answered after %v: %q, %v", took, answer, err)
				}
			})
		})
	}
}

// A stranger holds a connection for less, whether or not the request is refused
// unread.
func TestTrickleOfAStranger(t *testing.T) {
	for _, request := range []string{"POST /sns/userinfo?access_token=x", "GET /sns/userinfo?access_token=x", "POST /cgi-bin/x?access_token=x"} {
		synctest.Test(t, func(t *testing.T) {
			w := callsWorld(t, &fakeBroker{call: echo})
			w.quiet()
			dial, stop := w.served()
			defer stop()
			conn := dial()
			defer conn.Close()
			began := time.Now()
			_, _ = io.WriteString(conn, request+" HTTP/1.1\r\nHost: edge\r\nContent-Length: 65536\r\n\r\n")
			go func() {
				for range 3600 {
					if _, err := conn.Write([]byte("a")); err != nil {
						return
					}
					time.Sleep(time.Second)
				}
			}()
			answer, err := io.ReadAll(conn)
			if took := time.Since(began); !bytes.Contains(answer, []byte(`{"errcode":4`)) || err != nil || took > 4*time.Second {
				t.Errorf("closed after %v: %q, %v", took, answer, err)
			}
			time.Sleep(time.Second) // in which both sides close
		})
	}
}

// A broker may take its time in the middle of anything.
func TestPauses(t *testing.T) {
	const pause = 50 * time.Second
	b := &fakeBroker{
		media: func(_ *wxbrokerv1.CallHead, stream callStream) error {
			time.Sleep(pause)
			err := sendHead(stream, http.StatusOK, 10)
			for range 2 {
				time.Sleep(pause)
				err = errors.Join(err, sendPiece(stream, "piece"))
			}
			return err
		},
		call: func(_ *wxbrokerv1.CallHead, stream callStream) error {
			got, paused := 0, false
			for {
				if got > 500_000 && !paused { // what is sent waits for room meanwhile
					paused = true
					time.Sleep(pause)
				}
				request, err := stream.Recv()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					return err
				}
				got += len(request.GetBody())
			}
			time.Sleep(pause)
			return answerCall(stream, 200, fmt.Sprint(got))
		},
	}
	t.Run("of a file", func(t *testing.T) {
		overBoth(t, b, func(t *testing.T, client *http.Client) {
			if answer, err := asked(client, http.MethodGet, "/v1/media/abc", nil); answer != "piecepiece" || err != nil {
				t.Errorf("answered %q, %v", answer, err)
			}
		})
	})
	for _, size := range []int{0, 2, 65536, 65537, 3_000_000} {
		t.Run(fmt.Sprintf("of a call with %d bytes", size), func(t *testing.T) {
			overBoth(t, b, func(t *testing.T, client *http.Client) {
				if answer, err := asked(client, http.MethodPost, "/cgi-bin/x", strings.NewReader(strings.Repeat("a", size))); answer != fmt.Sprint(size) || err != nil {
					t.Errorf("answered %q, %v", answer, err)
				}
			})
		})
	}
}

// What is left of an answer does not wait for its client either.
func TestStuckClientOfASmallFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := callsWorld(t, &fakeBroker{media: file(http.StatusOK, -1, nil, "small")})
		w.quiet()
		dial, stop := w.served()
		defer stop()
		conn := dial()
		defer conn.Close()
		_, _ = io.WriteString(conn, askMedia)
		time.Sleep(25 * time.Second)
		if answer, _ := io.ReadAll(conn); len(answer) > 0 {
			t.Errorf("answered %q", answer)
		}
	})
}

// Who asks for more transfers than may be under way is told to ask again.
func TestTooManyTransfers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := make(chan struct{})
		w := callsWorld(t, &fakeBroker{
			media: func(*wxbrokerv1.CallHead, callStream) error { <-slow; return nil },
			call:  func(*wxbrokerv1.CallHead, callStream) error { <-slow; return nil },
		})
		var transfers sync.WaitGroup
		for range 200 {
			transfers.Go(func() {
				_ = w.api.Broker.Download(t.Context(), "", &wxbrokerv1.CallHead{Path: wxapi.PathMedia}, broker.Sink{})
			})
			transfers.Go(func() {
				_ = w.api.Broker.Call(t.Context(), "", new(wxbrokerv1.CallHead), nil, broker.Sink{})
			})
		}
		synctest.Wait()
		file := w.call(withKey(get("/v1/media/abc", "")))
		if file.Code != http.StatusTooManyRequests || file.Header().Get("Retry-After") != "1" {
			t.Errorf("a file: HTTP %d after %q: %s", file.Code, file.Header().Get("Retry-After"), file.Body)
		}
		if code, message := refusalIn(t, w.call(withKey(get("/cgi-bin/x", "")))); code != 45011 {
			t.Errorf("a call: %d %s", code, message)
		}
		close(slow)
		transfers.Wait()
	})
}

// That a call comes to nothing is said, however long that took.
func TestLateFailure(t *testing.T) {
	b := &fakeBroker{call: func(head *wxbrokerv1.CallHead, stream callStream) error {
		if head.GetPath() == "/cgi-bin/first" { // for which the other one has to wait
			time.Sleep(55 * time.Second)
			return answerCall(stream, 200, "")
		}
		<-stream.Context().Done()
		return nil
	}}
	overBoth(t, b, func(t *testing.T, client *http.Client) {
		began := time.Now()
		var first sync.WaitGroup
		defer first.Wait()
		first.Go(func() { _, _ = asked(client, http.MethodPost, "/cgi-bin/first", nil) })
		synctest.Wait()
		answer, err := asked(client, http.MethodPost, "/cgi-bin/x", strings.NewReader("{}"))
		if took := time.Since(began); !strings.HasPrefix(answer, `{"errcode":-1,`) || err != nil || took < 110*time.Second {
			t.Errorf("after %v: %q, %v", took, answer, err)
		}
	}, grpc.MaxConcurrentStreams(1))
}
