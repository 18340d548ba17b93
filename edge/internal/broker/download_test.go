package broker_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/edge/internal/broker"
	"github.com/wxbroker/wxbroker/edge/internal/brokertest"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// download makes a call in the way of downloads.
func download(ctx context.Context, c *broker.Client, to broker.Sink) error {
	return c.Download(ctx, "", &wxbrokerv1.CallHead{Method: "GET", Path: "/cgi-bin/media/get"}, to)
}

// A transfer that is not taken holds no more than its window and what gRPC has
// in hand, whatever the size of the file.
func TestSlowSinkHoldsTheBrokerBack(t *testing.T) {
	sent := make(chan int, 10_000)
	b := answering(func(_ *wxbrokerv1.CallHead, stream brokertest.Stream) error {
		if err := brokertest.SendHead(stream, http.StatusOK, -1); err != nil {
			return err
		}
		piece := strings.Repeat("a", kib64)
		for range 1000 { // 64 MB
			if err := brokertest.SendPiece(stream, piece); err != nil {
				return err
			}
			sent <- kib64
		}
		return nil
	})
	inBubble(t, b, func(t *testing.T, c *broker.Client) {
		ctx, cancel := context.WithCancel(t.Context())
		enough := errors.New("enough")
		err := download(ctx, c, broker.Sink{
			Head: func(*wxbrokerv1.CallAnswer) error { return nil },
			Piece: func([]byte) error {
				synctest.Wait() // until nothing moves any more
				if held := len(sent) * kib64; held > 512<<10 {
					t.Errorf("%d KiB were sent and not taken", held>>10)
				}
				time.Sleep(time.Hour) // nor is the broker blamed for that
				return enough
			},
		})
		if !errors.Is(err, enough) {
			t.Errorf("ended with %v", err)
		}
		cancel()
	})
}

// Cancelling ends the call at the broker too.
func TestCancel(t *testing.T) {
	ended := make(chan struct{})
	b := answering(func(_ *wxbrokerv1.CallHead, stream brokertest.Stream) error {
		defer close(ended)
		_ = brokertest.SendHead(stream, http.StatusOK, -1)
		<-stream.Context().Done()
		return stream.Context().Err() // as the real one does: OK would be the end of an answer
	})
	inBubble(t, b, func(t *testing.T, c *broker.Client) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := download(ctx, c, sink(new(saved))); status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("ended with %v", err)
		}
		<-ended
	})
}

// A broker that lets a transfer stand still does not hold its client for ever.
func TestStall(t *testing.T) {
	b := answering(func(head *wxbrokerv1.CallHead, stream brokertest.Stream) error {
		if head.GetPath() == "/cgi-bin/media/get" {
			_ = brokertest.SendHead(stream, http.StatusOK, -1)
			time.Sleep(broker.Stall - time.Second)
			_ = brokertest.SendPiece(stream, "a")
		}
		<-stream.Context().Done()
		return stream.Context().Err()
	})
	tests := []struct {
		name  string
		call  func(context.Context, *broker.Client) error
		after time.Duration
	}{
		{"a small call", func(ctx context.Context, c *broker.Client) error {
			_, err := c.Ask(ctx, "", &wxbrokerv1.CallHead{}, nil)
			return err
		}, broker.Timeout},
		{"a file", func(ctx context.Context, c *broker.Client) error {
			return download(ctx, c, sink(new(saved)))
		}, 2*broker.Stall - time.Second},
		{"a call", func(ctx context.Context, c *broker.Client) error {
			return c.Call(ctx, "", aCall, nil, sink(new(saved)))
		}, broker.Stall},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, b, func(t *testing.T, c *broker.Client) {
				began := time.Now()
				err := test.call(t.Context(), c)
				if took := time.Since(began); status.Code(err) != codes.DeadlineExceeded || took != test.after {
					t.Errorf("after %v: %v", took, err)
				}
			})
		})
	}
}

// A small call has its body sent, whole and again if need be, and its answer read,
// which is small as well.
func TestAsk(t *testing.T) {
	const life = 20 * time.Minute
	b := answering(func(head *wxbrokerv1.CallHead, stream brokertest.Stream) error {
		switch {
		case head.GetPath() == "/cgi-bin/large":
			return brokertest.File(http.StatusOK, -1, nil, strings.Repeat("a", kib64), "a")(head, stream)
		case head.ContentLength != nil:
			return brokertest.Echo(head, stream)
		}
		return brokertest.Reply(stream, http.StatusOK, "no body")
	})
	b.good = life
	inBubble(t, b, func(t *testing.T, c *broker.Client) {
		for _, tt := range []struct {
			body []byte
			want string
		}{{nil, "no body"}, {[]byte("{}"), "{}"}, {[]byte{}, ""}, {bytes.Repeat([]byte("b"), kib64), strings.Repeat("b", kib64)}} {
			got, err := c.Ask(t.Context(), "billing", &wxbrokerv1.CallHead{Method: "POST", Path: "/cgi-bin/x"}, tt.body)
			if err != nil || string(got) != tt.want {
				t.Errorf("%d bytes: %d bytes, %v", len(tt.body), len(got), err)
			}
		}
		time.Sleep(life)
		if got, err := c.Ask(t.Context(), "billing", &wxbrokerv1.CallHead{Method: "POST", Path: "/cgi-bin/x"}, []byte("again")); err != nil || string(got) != "again" {
			t.Errorf("to a broker that no longer knew who it was: %q, %v", got, err)
		}
		if _, err := c.Ask(t.Context(), "", &wxbrokerv1.CallHead{Path: "/cgi-bin/large"}, nil); status.Code(err) != codes.Unavailable {
			t.Errorf("a large answer: %v", err)
		}
		if b.Keys()[0] != "billing" {
			t.Errorf("made for %q", b.Keys())
		}
	})
}
