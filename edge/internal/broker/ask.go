package broker

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// maxSmall bounds the answer to a small call, in bytes. WeChat's have under 4 KiB.
const maxSmall = 64 << 10

// Ask makes a call whose body, nil for none, and answer are small. It returns the
// answer's body, whatever its HTTP status.
func (c *Client) Ask(ctx context.Context, key string, head *wxbrokerv1.CallHead, body []byte) (answered []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	if body != nil {
		head.ContentLength = new(int64(len(body)))
	}
	err = call(ctx, c.small, key, &upload{head: head, first: body}, Sink{
		Head: func(*wxbrokerv1.CallAnswer) error { return nil },
		Piece: func(piece []byte) error {
			if answered = append(answered, piece...); len(answered) > maxSmall {
				return status.Errorf(codes.Unavailable, "WeChat's answer has more than %d bytes", maxSmall)
			}
			return nil
		},
	})
	return answered, err
}
