package calls_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/edge/internal/calls"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

type mediaStream = grpc.ServerStreamingServer[wxbrokerv1.GetMediaResponse]

func mediaHead() *wxbrokerv1.GetMediaResponse {
	return &wxbrokerv1.GetMediaResponse{Part: &wxbrokerv1.GetMediaResponse_Head{Head: new(wxbrokerv1.MediaHead)}}
}

func mediaChunk(size int) *wxbrokerv1.GetMediaResponse {
	return &wxbrokerv1.GetMediaResponse{Part: &wxbrokerv1.GetMediaResponse_Chunk{Chunk: make([]byte, size)}}
}

// A transfer that is not taken holds no more than its window and what gRPC has
// in hand, whatever the size of the file.
func TestSlowSinkHoldsTheBrokerBack(t *testing.T) {
	sent := make(chan int, 10_000)
	b := &broker{media: func(_ *wxbrokerv1.GetMediaRequest, stream mediaStream) error {
		if err := stream.Send(mediaHead()); err != nil {
			return err
		}
		for range 1000 { // 64 MB
			if err := stream.Send(mediaChunk(kib64)); err != nil {
				return err
			}
			sent <- kib64
		}
		return nil
	}}
	inBubble(t, b, func(t *testing.T, c *calls.Client) {
		ctx, cancel := context.WithCancel(t.Context())
		enough := errors.New("enough")
		err := c.GetMedia(ctx, "", nil, calls.Sink[*wxbrokerv1.MediaHead]{
			Head: func(*wxbrokerv1.MediaHead) error { return nil },
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
	b := &broker{media: func(_ *wxbrokerv1.GetMediaRequest, stream mediaStream) error {
		defer close(ended)
		_ = stream.Send(mediaHead())
		<-stream.Context().Done()
		return nil
	}}
	inBubble(t, b, func(t *testing.T, c *calls.Client) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.GetMedia(ctx, "", nil, sink[*wxbrokerv1.MediaHead](new(saved))); status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("ended with %v", err)
		}
		<-ended
	})
}

// A broker that lets a transfer stand still does not hold its client for ever.
func TestStall(t *testing.T) {
	stall := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	b := &broker{
		template: stall,
		media: func(_ *wxbrokerv1.GetMediaRequest, stream mediaStream) error {
			_ = stream.Send(mediaHead())
			time.Sleep(calls.Stall - time.Second)
			_ = stream.Send(mediaChunk(1))
			return stall(stream.Context())
		},
		call: func(stream callStream) error { return stall(stream.Context()) },
	}
	tests := []struct {
		name  string
		call  func(context.Context, *calls.Client) error
		after time.Duration
	}{
		{"an answer in one piece", func(ctx context.Context, c *calls.Client) error {
			_, err := c.SendTemplate(ctx, "", new(wxbrokerv1.SendTemplateRequest))
			return err
		}, calls.Timeout},
		{"a file", func(ctx context.Context, c *calls.Client) error {
			return c.GetMedia(ctx, "", nil, sink[*wxbrokerv1.MediaHead](new(saved)))
		}, 2*calls.Stall - time.Second},
		{"a call", func(ctx context.Context, c *calls.Client) error {
			return c.Call(ctx, "", aCall, nil, sink[*wxbrokerv1.CallAnswer](new(saved)))
		}, calls.Stall},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, b, func(t *testing.T, c *calls.Client) {
				began := time.Now()
				err := test.call(t.Context(), c)
				if took := time.Since(began); status.Code(err) != codes.DeadlineExceeded || took != test.after {
					t.Errorf("after %v: %v", took, err)
				}
			})
		})
	}
}

func TestGetOpenID(t *testing.T) {
	inBubble(t, new(broker), func(t *testing.T, c *calls.Client) {
		if user, err := c.GetOpenID(t.Context(), "", &wxbrokerv1.GetOpenIDRequest{Code: "c"}); user.GetOpenid() != "o-c" || err != nil {
			t.Errorf("%v, %v", user, err)
		}
	})
}
