package rpc

import "context"

// received is what came of waiting for a stream's next message.
type received[T any] struct {
	message T
	err     error
}

// receive receives a stream's messages on a goroutine of their own, up to the
// first error, so that whoever takes them can wait for something else as well.
func receive[T any](stream interface {
	Recv() (T, error)
	Context() context.Context
},
) <-chan received[T] {
	came := make(chan received[T])
	go func() {
		for {
			message, err := stream.Recv()
			select {
			case came <- received[T]{message, err}:
			case <-stream.Context().Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return came
}
