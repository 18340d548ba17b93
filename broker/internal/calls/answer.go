package calls

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/broker/internal/audit"
	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

const (
	// standstill is how long nothing may move before a transfer is ended.
	standstill = 30 * time.Second
	// betweenLooks is how often it is asked, while a body moves, whether it still
	// may: what is revoked ends within five seconds.
	betweenLooks = 4 * time.Second
)

// pieces is how much of a body is sent at once, in bytes: just below 32 KiB with
// what is around it, since gRPC's next larger buffer has 1 MiB.
const pieces = 32<<10 - 256

// send sends what WeChat says, for as long as it still may.
func send(stream wxbrokerv1.WeChatService_CallServer, answer *wechat.Answer, from io.Reader, still func() error) error {
	head := &wxbrokerv1.CallAnswer{Status: int32(answer.Status)}
	for name, values := range answer.Header {
		for _, value := range values {
			head.Headers = append(head.Headers, &wxbrokerv1.CallHeader{Name: name, Value: audit.Printable(strings.ToValidUTF8(value, "_"))})
		}
	}
	if answer.Length >= 0 {
		head.ContentLength = &answer.Length
	}
	if err := stream.Send(&wxbrokerv1.CallResponse{Part: &wxbrokerv1.CallResponse_Answer{Answer: head}}); err != nil {
		return err
	}
	return transfer(stream.Context(), from, still, func(piece []byte) error {
		return stream.Send(&wxbrokerv1.CallResponse{Part: &wxbrokerv1.CallResponse_Body{Body: piece}})
	})
}

// transfer sends a body in pieces, as long as it moves and still may. A send that
// is stuck ends with the handler, which is why it is not made here.
func transfer(ctx context.Context, body io.Reader, still func() error, send func([]byte) error) error {
	stuck := time.NewTimer(standstill)
	defer stuck.Stop()
	look := time.NewTicker(betweenLooks)
	defer look.Stop()
	ended := make(chan error, 1)
	go func() { ended <- pump(ctx, body, send, stuck) }()
	for {
		select {
		case err := <-ended:
			return err
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		case <-stuck.C:
			return status.Errorf(codes.DeadlineExceeded, "nothing of the answer has moved for %v", standstill)
		case <-look.C:
			if err := still(); err != nil {
				return err
			}
		}
	}
}

// pump sends a body in pieces and puts off stuck with each.
func pump(ctx context.Context, body io.Reader, send func([]byte) error, stuck *time.Timer) error {
	buffer := make([]byte, pieces)
	for {
		n, err := body.Read(buffer)
		if n > 0 {
			if err := send(buffer[:n]); err != nil {
				return err
			}
			stuck.Reset(standstill)
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && ctx.Err() != nil:
			return status.FromContextError(ctx.Err()).Err()
		case err != nil:
			return status.Error(codes.Unavailable, "WeChat's answer broke off")
		}
	}
}
