package broker

import (
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// Sink takes an answer. An error of its functions ends the call and is what it
// returns.
type Sink struct {
	// Head is called once, before anything else.
	Head func(*wxbrokerv1.CallAnswer) error
	// Piece is called with each piece of what follows.
	Piece func([]byte) error
}

// answer is what arrives of an answer.
type answer struct {
	to    Sink
	dog   *watchdog
	begun bool // nothing that has begun is made again
}

// once makes a call by use, which may try it again while nothing has arrived.
func (a *answer) once(use func(func(*grpc.ClientConn) error) error, call func(*grpc.ClientConn) error) error {
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
func (a *answer) receive(next func() (*wxbrokerv1.CallResponse, error)) error {
	for {
		response, err := next()
		head, piece := response.GetAnswer(), response.GetBody()
		switch {
		case errors.Is(err, io.EOF) && a.begun:
			return nil
		case errors.Is(err, io.EOF), err == nil && (head != nil) == a.begun && (a.begun || len(piece) > 0):
			return status.Error(codes.Unavailable, "the broker's answer has not one head and what follows it")
		case err != nil:
			return err
		}
		a.dog.hold() // a slow client is not the broker's fault
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
