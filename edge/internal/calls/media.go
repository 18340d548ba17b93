package calls

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/edge/internal/line"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// Sink takes an answer whose head is an H. An error of its functions ends the
// call and is what it returns.
type Sink[H any] struct {
	// Head is called once, before anything else.
	Head func(H) error
	// Piece is called with each piece of what follows.
	Piece func([]byte) error
}

// GetMedia downloads a file.
func (c *Client) GetMedia(ctx context.Context, key string, r *wxbrokerv1.GetMediaRequest, to Sink[*wxbrokerv1.MediaHead]) error {
	if err := c.media.begin(ctx); err != nil {
		return err
	}
	defer c.media.end()
	ctx, dog, cancel := watched(line.OnBehalf(ctx, key))
	defer cancel()
	a := answer[*wxbrokerv1.MediaHead]{to: to, dog: dog}
	return a.once(c.media.Use, func(conn *grpc.ClientConn) error {
		stream, err := wxbrokerv1.NewWeChatServiceClient(conn).GetMedia(ctx, r)
		if err != nil {
			return err
		}
		return a.receive(func() (head *wxbrokerv1.MediaHead, piece []byte, err error) {
			response, err := stream.Recv()
			return response.GetHead(), response.GetChunk(), err
		}, func(h *wxbrokerv1.MediaHead) bool { return h != nil })
	})
}

// answer is what arrives of a streamed answer.
type answer[H any] struct {
	to    Sink[H]
	dog   *watchdog
	begun bool // nothing that has begun is made again
}

// once makes a call by use, which may try it again while nothing has arrived.
func (a *answer[H]) once(use func(func(*grpc.ClientConn) error) error, call func(*grpc.ClientConn) error) error {
	var end error // of an answer that had begun
	err := use(func(conn *grpc.ClientConn) error {
		err := call(conn)
		if a.begun {
			end = err
			return nil
		}
		return err
	})
	if a.begun {
		err = end
	}
	return a.dog.explain(err)
}

// receive takes an answer to its end.
func (a *answer[H]) receive(next func() (H, []byte, error), has func(H) bool) error {
	for {
		head, piece, err := next()
		switch {
		case errors.Is(err, io.EOF) && a.begun:
			return nil
		case errors.Is(err, io.EOF), err == nil && has(head) == a.begun && (a.begun || len(piece) > 0):
			return status.Error(codes.Unavailable, "the broker's answer has not one head and what follows it")
		case err != nil:
			return err
		}
		a.dog.hold() // a slow client is not the broker's fault
		switch {
		case has(head):
			a.begun = true
			err = a.to.Head(head)
		case len(piece) > 0:
			err = a.to.Piece(piece)
		}
		a.dog.release()
		if err != nil {
			return err
		}
	}
}
