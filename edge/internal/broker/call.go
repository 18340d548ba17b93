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
	// maxResend bounds a body that can be sent again, in bytes.
	maxResend = 64 << 10
	// pieceSize bounds the pieces in which a body is sent, in bytes. With the message
	// around it, a piece fits in one of gRPC's buffers of 32 KiB. The next larger
	// buffers have 1 MiB, and stay in use while the other side is slow.
	pieceSize = 32<<10 - 512
)

// Call makes a call with a body, nil for none. WeChat may answer before it has the whole
// body. Then Call closes the body and sends no more of it. It also closes the body at
// the end. Close has to end a Read that is under way with [http.ErrBodyReadAfterClose].
// Any other error of reading the body ends the call, and Call returns it.
func (c *Client) Call(ctx context.Context, key string, head *wxbrokerv1.CallHead, body io.ReadCloser, to Sink) error {
	u := &upload{head: head, rest: body}
	if body != nil {
		defer body.Close()
		if err := u.readStart(); err != nil { // before taking a place, since even a small body may arrive slowly
			return err
		}
	}
	if err := c.calls.begin(ctx); err != nil {
		return err
	}
	defer c.calls.end()
	return call(ctx, c.calls.redialingConn, key, u, to)
}

// Download makes a call whose answer may be large. Downloads have places of their own,
// so that they do not hold up the messages that programs send with Call.
func (c *Client) Download(ctx context.Context, key string, head *wxbrokerv1.CallHead, to Sink) error {
	if err := c.downloads.begin(ctx); err != nil {
		return err
	}
	defer c.downloads.end()
	return call(ctx, c.downloads.redialingConn, key, &upload{head: head}, to)
}

// call makes a call. If the broker does not know the caller, it makes the call once more
// on a new connection, provided that the body can be sent again.
func call(ctx context.Context, c *redialingConn, key string, u *upload, to Sink) error {
	ctx, dog, cancel := newWatchdog(withLocalKey(ctx, key))
	defer cancel()
	u.dog = dog
	a := answerReader{to: to, dog: dog}
	var refused error
	return a.run(c.use, func(conn *grpc.ClientConn) error {
		if refused != nil && u.rest != nil { // the connection is new, but a part of the body is gone
			return refused
		}
		refused = u.call(ctx, conn, &a)
		return refused
	})
}

// upload is the request of a call on its way to the broker.
type upload struct {
	head  *wxbrokerv1.CallHead
	start []byte        // the body's beginning, which can be sent again
	rest  io.ReadCloser // the body after start, nil where start is the whole body
	dog   *watchdog

	failure error // why the body could not be read
}

// readStart reads the part of the body that can be sent again.
func (u *upload) readStart() (err error) {
	if u.start, err = io.ReadAll(io.LimitReader(u.rest, maxResend+1)); err != nil {
		return err
	}
	if len(u.start) <= maxResend {
		u.rest = nil
	}
	return nil
}

// call makes the call once.
func (u *upload) call(ctx context.Context, conn *grpc.ClientConn, a *answerReader) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := wxbrokerv1.NewWeChatServiceClient(conn).Call(ctx)
	if err != nil {
		return err
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		if u.failure = u.send(stream); u.failure != nil {
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
	if u.failure != nil {
		return u.failure
	}
	return err
}

// stop ends the sending.
func (u *upload) stop() {
	if u.rest != nil {
		_ = u.rest.Close() // an error would change nothing
	}
}

// send sends the head and the body. Its error is one of reading the body. If sending
// fails, send returns nil, because the receiving side gets the reason.
func (u *upload) send(stream grpc.BidiStreamingClient[wxbrokerv1.CallRequest, wxbrokerv1.CallResponse]) error {
	if stream.Send(&wxbrokerv1.CallRequest{Part: &wxbrokerv1.CallRequest_Head{Head: u.head}}) != nil {
		return nil
	}
	for piece := range slices.Chunk(u.start, pieceSize) {
		if !u.piece(stream, piece) {
			return nil
		}
	}
	if u.rest != nil {
		buffer := make([]byte, pieceSize)
		for ended := false; !ended; {
			u.dog.hold() // the broker is not to blame for a slow client
			n, err := u.rest.Read(buffer)
			u.dog.release()
			ended = errors.Is(err, io.EOF)
			switch {
			case errors.Is(err, http.ErrBodyReadAfterClose): // stop closed it: nobody wants the rest
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
	u.dog.progress()
	return true
}
