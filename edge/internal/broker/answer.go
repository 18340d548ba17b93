package broker

import (
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// Sink takes an answer. An error of its functions ends the call, and the call returns
// it.
type Sink struct {
	// Head is called once, before anything else.
	Head func(*wxbrokerv1.CallAnswer) error
	// Piece is called with each piece of the body.
	Piece func([]byte) error
}

// answerReader reads the answer to a call and hands it to a Sink.
type answerReader struct {
	to    Sink
	dog   *watchdog
	begun bool // the answer has begun, so the call must not be made again
}

// run makes a call through use, which may make it again only while no answer has begun.
func (a *answerReader) run(use func(func(*grpc.ClientConn) error) error, call func(*grpc.ClientConn) error) error {
	var end error // the error of an answer that had begun
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
func (a *answerReader) receive(next func() (*wxbrokerv1.CallResponse, error)) error {
	for {
		response, err := next()
		head, piece := response.GetAnswer(), response.GetBody()
		switch {
		case errors.Is(err, io.EOF) && a.begun:
			return nil
		case errors.Is(err, io.EOF), err == nil && (head != nil) == a.begun && (a.begun || len(piece) > 0):
			return status.Error(codes.Unavailable, "the broker's answer is malformed: it has to be one head and then its body")
		case err != nil:
			return err
		}
		a.dog.hold() // the broker is not to blame for a slow client
		switch {
		case head != nil:
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
