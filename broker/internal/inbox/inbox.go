// Package inbox receives the messages of a gRPC stream, so that a service can wait
// for its caller's next message and for something else at the same time. Recv alone
// cannot be interrupted.
package inbox

import "context"

// Arrival is a stream's next message, or the error that ended the stream.
type Arrival[T any] struct {
	Message T
	Err     error
}

// Open receives a stream's messages on a goroutine of its own, up to the first error.
// The goroutine ends with the stream, even if nobody takes the messages.
func Open[T any](stream interface {
	Recv() (T, error)
	Context() context.Context
},
) <-chan Arrival[T] {
	arrivals := make(chan Arrival[T])
	go func() {
		for {
			message, err := stream.Recv()
			select {
			case arrivals <- Arrival[T]{message, err}:
			case <-stream.Context().Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return arrivals
}
