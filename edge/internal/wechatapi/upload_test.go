package wechatapi_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/edge/internal/apitest"
	"github.com/wxbroker/wxbroker/edge/internal/brokertest"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// A body has a bound.
func TestBodiesOfCalls(t *testing.T) {
	tests := []struct {
		name, method string
		size         int64
		known        bool
		errcode      int
		passedOn     bool
	}{
		{"large", "POST", 64 << 20, true, 0, true},
		{"of unknown length", "POST", 64 << 20, false, 0, true},
		{"too large", "POST", 64<<20 + 1, true, 45001, false},
		{"too large, of unknown length", "POST", 64<<20 + 1, false, 45001, false},
		{"of a GET", "GET", 64 << 10, true, 0, false},
		{"of a GET, of unknown length", "GET", 64 << 10, false, 0, false},
		{"too large, of a GET", "GET", 64<<10 + 1, true, 45001, false},
		{"too large, of a GET, of unknown length", "GET", 64<<10 + 1, false, 45001, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got int64
			b := &brokertest.Broker{Answer: func(head *wxbrokerv1.CallHead, stream brokertest.Stream) error {
				if (head.ContentLength != nil) != (test.known && test.passedOn) {
					t.Errorf("the length is %v", head.ContentLength)
				}
				for {
					request, err := stream.Recv()
					if errors.Is(err, io.EOF) {
						return brokertest.Reply(stream, 200, "{}")
					}
					if err != nil {
						return err
					}
					got += int64(len(request.GetBody()))
				}
			}}
			w := newWorld(t, b)
			server := httptest.NewServer(w)
			defer server.Close()
			r, _ := http.NewRequest(test.method, server.URL+"/cgi-bin/media/upload", io.LimitReader(zeros{}, test.size))
			if test.known {
				r.ContentLength = test.size
			}
			response, err := server.Client().Do(apitest.WithKey(r))
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			answer, _ := io.ReadAll(response.Body)
			if code := decoded[tokenBody](t, answer).ErrCode; code != test.errcode || code == 0 && (got == test.size) != test.passedOn {
				t.Errorf("%s after %d bytes", answer, got)
			}
		})
	}
}

// A client may take its time to send, if it sends enough all the time; one that
// does not is cut off. WeChat's answer to half a body is passed on.
func TestSlowUploads(t *testing.T) {
	const head = "POST /cgi-bin/x HTTP/1.1\r\nHost: edge\r\nAuthorization: Bearer k\r\nContent-Length: 1200000\r\n\r\n"
	tests := []struct {
		name  string
		sends int // pieces of 30 kB, one every 15 s
		call  func(*wxbrokerv1.CallHead, brokertest.Stream) error
		says  string
	}{
		{"slow", 40, func(_ *wxbrokerv1.CallHead, stream brokertest.Stream) error {
			for {
				if _, err := stream.Recv(); err != nil {
					return brokertest.Reply(stream, 200, `{"errcode":0}`)
				}
			}
		}, `{"errcode":0}`},
		{"stuck at once", 1, brokertest.Echo, `{"errcode":47001,`},
		{"stuck later", 20, brokertest.Echo, `{"errcode":47001,`},
		{"answered before it is whole", 20, func(_ *wxbrokerv1.CallHead, stream brokertest.Stream) error {
			time.Sleep(time.Minute)
			return brokertest.Reply(stream, 413, `{"errcode":40006}`)
		}, `{"errcode":40006}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, &brokertest.Broker{Answer: test.call})
				dial, stop := apitest.Serve(w)
				defer stop()
				conn := dial()
				defer conn.Close()
				_, _ = io.WriteString(conn, head)
				go func() {
					for range test.sends {
						if _, err := conn.Write(make([]byte, 30_000)); err != nil {
							return
						}
						time.Sleep(15 * time.Second)
					}
				}()
				answer, _ := io.ReadAll(conn)
				if !strings.Contains(string(answer), test.says) {
					t.Errorf("answered %q", answer)
				}
				_ = conn.Close()
				time.Sleep(15 * time.Second)
			})
		})
	}
}

// An answer to half a body comes through at once, to a client that is waiting
// for it, and to its end.
func TestAnswerToHalfABody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &brokertest.Broker{Answer: func(_ *wxbrokerv1.CallHead, stream brokertest.Stream) error {
			time.Sleep(time.Second)
			err := stream.Send(&wxbrokerv1.CallResponse{Part: &wxbrokerv1.CallResponse_Answer{Answer: &wxbrokerv1.CallAnswer{Status: 413}}})
			time.Sleep(time.Second)
			return errors.Join(err, stream.Send(&wxbrokerv1.CallResponse{Part: &wxbrokerv1.CallResponse_Body{Body: []byte(`{"errcode":40006}`)}}))
		}})
		dial, stop := apitest.Serve(w)
		defer stop()
		conn := dial()
		began := time.Now()
		_, _ = io.WriteString(conn, "POST /cgi-bin/x HTTP/1.0\r\nHost: edge\r\nAuthorization: Bearer k\r\nContent-Length: 400000\r\n\r\n"+strings.Repeat("a", 100_000))
		answer, err := io.ReadAll(conn)
		if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.0 413") || !strings.HasSuffix(string(answer), `{"errcode":40006}`) {
			t.Errorf("answered %q, %v", answer, err)
		}
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("answered after %v", took)
		}
		_ = conn.Close()
		time.Sleep(time.Second) // in which the server closes
	})
}
