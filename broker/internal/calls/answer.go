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
	// idleTimeout ends a transfer when no byte moves for that long.
	idleTimeout = 30 * time.Second
	// recheckInterval is how often, while a body moves, access is asked whether the
	// call is still granted. So a call ends within five seconds of its revocation.
	recheckInterval = 4 * time.Second
)

// pieceSize is how much of a body is sent at once, in bytes. With the message around
// it, a piece stays just below 32 KiB, since gRPC's next larger buffer has 1 MiB.
const pieceSize = 32<<10 - 256

// send sends WeChat's answer to the edge, for as long as recheck returns no error.
func send(stream wxbrokerv1.WeChatService_CallServer, answer *wechat.Answer, from io.Reader, recheck func() error) error {
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
	return transfer(stream.Context(), from, recheck, func(piece []byte) error {
		return stream.Send(&wxbrokerv1.CallResponse{Part: &wxbrokerv1.CallResponse_Body{Body: piece}})
	})
}

// transfer sends a body in pieces, for as long as it moves and recheck returns no
// error. Another goroutine does the sending, because a send that hangs ends only when
// the handler returns.
func transfer(ctx context.Context, body io.Reader, recheck func() error, send func([]byte) error) error {
	idle := time.NewTimer(idleTimeout)
	defer idle.Stop()
	interval := time.NewTicker(recheckInterval)
	defer interval.Stop()
	ended := make(chan error, 1)
	go func() { ended <- pump(ctx, body, send, idle) }()
	for {
		select {
		case err := <-ended:
			return err
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		case <-idle.C:
			return status.Errorf(codes.DeadlineExceeded, "nothing of the answer has moved for %v", idleTimeout)
		case <-interval.C:
			if err := recheck(); err != nil {
				return err
			}
		}
	}
}

// pump sends a body in pieces. It restarts the idle timer with each.
func pump(ctx context.Context, body io.Reader, send func([]byte) error, idle *time.Timer) error {
	buffer := make([]byte, pieceSize)
	for {
		n, err := body.Read(buffer)
		if n > 0 {
			if err := send(buffer[:n]); err != nil {
				return err
			}
			idle.Reset(idleTimeout)
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
