package broker

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"

	"google.golang.org/grpc"

	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

const (
	// keepSize bounds a body that can be sent again, in bytes.
	keepSize = 64 << 10
	// pieceSize bounds the pieces of a body that are sent, in bytes: with what is
	// around it in a message, one fits in a buffer of gRPC's of 32 KiB. The next
	// larger ones have a whole MiB, and stay in use while the other side is slow.
	pieceSize = 32<<10 - 512
)

// Call makes a call with a body, nil for none, as far as it is wanted: WeChat may
// answer before it has all of it. The body is closed then and at the end, which
// has to end a Read that is under way with [http.ErrBodyReadAfterClose]. Any other
// error of reading it ends the call and is what Call returns.
func (c *Client) Call(ctx context.Context, key string, head *wxbrokerv1.CallHead, body io.ReadCloser, to Sink) error {
	u := &upload{head: head, rest: body}
	if body != nil {
		defer body.Close()
		if err := u.begin(); err != nil { // before it takes a place: a small one may take long to arrive
			return err
		}
	}
	if err := c.calls.begin(ctx); err != nil {
		return err
	}
	defer c.calls.end()
	return call(ctx, c.calls.line, key, u, to)
}

// Download makes a call whose answer may be large. It has places of its own:
// programs send their messages with Call.
func (c *Client) Download(ctx context.Context, key string, head *wxbrokerv1.CallHead, to Sink) error {
	if err := c.downloads.begin(ctx); err != nil {
		return err
	}
	defer c.downloads.end()
	return call(ctx, c.downloads.line, key, &upload{head: head}, to)
}

// call makes a call on a line, and once more on its next connection if the broker
// does not know who calls and the body can be sent again.
func call(ctx context.Context, l *line, key string, u *upload, to Sink) error {
	ctx, dog, cancel := watched(onBehalf(ctx, key))
	defer cancel()
	u.dog = dog
	a := answer{to: to, dog: dog}
	var refused error
	return a.once(l.use, func(conn *grpc.ClientConn) error {
		if refused != nil && u.rest != nil { // the connection is another, but what was read is gone
			return refused
		}
		refused = u.call(ctx, conn, &a)
		return refused
	})
}

// upload is the request of a call on its way to the broker.
type upload struct {
	head  *wxbrokerv1.CallHead
	first []byte        // the body's beginning, which can be sent again
	rest  io.ReadCloser // nil where first is all of it
	dog   *watchdog

	failed error // why the body could not be read
}

// begin reads what can be sent again.
func (u *upload) begin() (err error) {
	if u.first, err = io.ReadAll(io.LimitReader(u.rest, keepSize+1)); err != nil {
		return err
	}
	if len(u.first) <= keepSize {
		u.rest = nil
	}
	return nil
}

// call makes the call once.
func (u *upload) call(ctx context.Context, conn *grpc.ClientConn, a *answer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := wxbrokerv1.NewWeChatServiceClient(conn).Call(ctx)
	if err != nil {
		return err
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		if u.failed = u.send(stream); u.failed != nil {
			cancel()
		}
	}()
	err = a.receive(func() (*wxbrokerv1.CallResponse, error) {
		response, err := stream.Recv()
		if response.GetAnswer() != nil {
			u.stop()
		}
		return response, err
	})
	cancel()
	u.stop()
	<-sent
	if u.failed != nil {
		return u.failed
	}
	return err
}

// stop ends the sending.
func (u *upload) stop() {
	if u.rest != nil {
		_ = u.rest.Close() // it has no more to say
	}
}

// send sends everything. Its error is one of reading the body; why something
// could not be sent is for the receiving side to say.
func (u *upload) send(stream grpc.BidiStreamingClient[wxbrokerv1.CallRequest, wxbrokerv1.CallResponse]) error {
	if stream.Send(&wxbrokerv1.CallRequest{Part: &wxbrokerv1.CallRequest_Head{Head: u.head}}) != nil {
		return nil
	}
	for piece := range slices.Chunk(u.first, pieceSize) {
		if !u.piece(stream, piece) {
			return nil
		}
	}
	if u.rest != nil {
		buffer := make([]byte, pieceSize)
		for ended := false; !ended; {
			u.dog.hold() // a slow client is not the broker's fault
			n, err := u.rest.Read(buffer)
			u.dog.release()
			ended = errors.Is(err, io.EOF)
			switch {
			case errors.Is(err, http.ErrBodyReadAfterClose): // by stop: nobody wants any more of it
				return nil
			case err != nil && !ended:
				return err
			case !u.piece(stream, buffer[:n]):
				return nil
			}
		}
	}
	_ = stream.CloseSend() // it never fails
	return nil
}

// piece sends a piece and reports whether more can be sent.
func (u *upload) piece(stream grpc.BidiStreamingClient[wxbrokerv1.CallRequest, wxbrokerv1.CallResponse], piece []byte) bool {
	if len(piece) > 0 && stream.Send(&wxbrokerv1.CallRequest{Part: &wxbrokerv1.CallRequest_Body{Body: piece}}) != nil {
		return false
	}
	u.dog.moved()
	return true
}
