package broker

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// maxSmall bounds the answer to a small call, in bytes. WeChat's have under 4 KiB.
const maxSmall = 64 << 10

// Ask makes a call with a small body, nil for none, and a small answer. It returns the
// answer's body, whatever its HTTP status.
func (c *Client) Ask(ctx context.Context, key string, head *wxbrokerv1.CallHead, body []byte) (answer []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	if body != nil {
		head.ContentLength = new(int64(len(body)))
	}
	err = call(ctx, c.small, key, &upload{head: head, start: body}, Sink{
		Head: func(*wxbrokerv1.CallAnswer) error { return nil },
		Piece: func(piece []byte) error {
			if answer = append(answer, piece...); len(answer) > maxSmall {
				return status.Errorf(codes.Unavailable, "WeChat's answer has more than %d bytes", maxSmall)
			}
			return nil
		},
	})
	return answer, err
}
