package broker_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/edge/internal/broker"
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
	b := &fake{call: func(stream callStream) error {
		if err := stream.Send(head("")); err != nil {
			return err
		}
		chunk := piece(strings.Repeat("a", kib64))
		for range 1000 { // 64 MB
			if err := stream.Send(chunk); err != nil {
				return err
			}
			sent <- kib64
		}
		return nil
	}}
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
	b := &fake{call: func(stream callStream) error {
		defer close(ended)
		_ = stream.Send(head(""))
		<-stream.Context().Done()
		return nil
	}}
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
	b := &fake{call: func(stream callStream) error {
		request, err := stream.Recv()
		if err == nil && request.GetHead().GetPath() == "/cgi-bin/media/get" {
			_ = stream.Send(head(""))
			time.Sleep(broker.Stall - time.Second)
			_ = stream.Send(piece("a"))
		}
		<-stream.Context().Done()
		return stream.Context().Err()
	}}
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
	b := &fake{good: life, call: func(stream callStream) error {
		request, err := stream.Recv()
		if err != nil {
			return err
		}
		if request.GetHead().GetPath() == "/cgi-bin/large" {
			return errors.Join(stream.Send(head("")), stream.Send(piece(strings.Repeat("a", kib64))), stream.Send(piece("a")))
		}
		if request.GetHead().ContentLength != nil {
			return echo(stream)
		}
		return errors.Join(stream.Send(head("")), stream.Send(piece("no body")))
	}}
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
		if b.keys[0] != "billing" {
			t.Errorf("made for %q", b.keys)
		}
	})
}
