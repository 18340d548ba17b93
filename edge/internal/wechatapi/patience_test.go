package wechatapi_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"

	"github.com/wxbroker/wxbroker/edge/internal/apitest"
	"github.com/wxbroker/wxbroker/edge/internal/broker"
	"github.com/wxbroker/wxbroker/edge/internal/brokertest"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

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
			overBoth(t, &brokertest.Broker{Answer: brokertest.Echo}, func(t *testing.T, client *http.Client) {
				body := apitest.NewTrickle(test.atOnce)
				defer body.Close()
				began := time.Now()
				answer, err := apitest.Ask(client, test.method, test.path, body)
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
			w := newWorld(t, &brokertest.Broker{Answer: brokertest.Echo})
			dial, stop := apitest.Serve(w)
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

// That a call comes to nothing is said, however long that took.
func TestLateFailure(t *testing.T) {
	b := &brokertest.Broker{Answer: func(head *wxbrokerv1.CallHead, stream brokertest.Stream) error {
		if head.GetPath() == "/cgi-bin/first" { // for which the other one has to wait
			time.Sleep(55 * time.Second)
			return brokertest.Reply(stream, 200, "")
		}
		<-stream.Context().Done()
		return nil
	}}
	overBoth(t, b, func(t *testing.T, client *http.Client) {
		began := time.Now()
		var first sync.WaitGroup
		defer first.Wait()
		first.Go(func() { _, _ = apitest.Ask(client, http.MethodPost, "/cgi-bin/first", nil) })
		synctest.Wait()
		answer, err := apitest.Ask(client, http.MethodPost, "/cgi-bin/x", strings.NewReader("{}"))
		if took := time.Since(began); !strings.HasPrefix(answer, `{"errcode":-1,`) || err != nil || took < 110*time.Second {
			t.Errorf("after %v: %q, %v", took, answer, err)
		}
	}, grpc.MaxConcurrentStreams(1))
}

// A broker may take its time while a body is sent to it, and before it answers.
func TestPauses(t *testing.T) {
	const pause = 50 * time.Second
	b := &brokertest.Broker{Answer: func(_ *wxbrokerv1.CallHead, stream brokertest.Stream) error {
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
		return brokertest.Reply(stream, 200, fmt.Sprint(got))
	}}
	for _, size := range []int{0, 2, 65536, 65537, 3_000_000} {
		t.Run(fmt.Sprintf("%d bytes", size), func(t *testing.T) {
			overBoth(t, b, func(t *testing.T, client *http.Client) {
				if answer, err := apitest.Ask(client, http.MethodPost, "/cgi-bin/x", strings.NewReader(strings.Repeat("a", size))); answer != fmt.Sprint(size) || err != nil {
					t.Errorf("answered %q, %v", answer, err)
				}
			})
		})
	}
}

// Who makes more calls than may be under way is told to make them again.
func TestTooManyCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := make(chan struct{})
		w := newWorld(t, &brokertest.Broker{Answer: func(*wxbrokerv1.CallHead, brokertest.Stream) error { <-slow; return nil }})
		var calls sync.WaitGroup
		for range 200 {
			calls.Go(func() {
				_ = w.api.Broker.Call(t.Context(), "", new(wxbrokerv1.CallHead), nil, broker.Sink{})
			})
		}
		synctest.Wait()
		if code, message := apitest.Refusal(t, w.call(apitest.WithKey(apitest.Get("/cgi-bin/x", "")))); code != 45011 {
			t.Errorf("%d %s", code, message)
		}
		close(slow)
		calls.Wait()
	})
}
