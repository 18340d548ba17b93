// Package inbox receives the messages of a gRPC stream, so that a service can wait
// for its caller's next message and for something else at the same time. Recv alone
// cannot be interrupted.
package inbox

import "context"

// Arrival is what came of waiting for a stream's next message.
type Arrival[T any] struct {
	Message T
	Err     error
}

// Open receives a stream's messages on a goroutine of their own, up to the first
// error. The goroutine ends with the stream, whether somebody takes them or not.
func Open[T any](stream interface {
	Recv() (T, error)
	Context() context.Context
},
) <-chan Arrival[T] {
	came := make(chan Arrival[T])
	go func() {
		for {
			message, err := stream.Recv()
			select {
			case came <- Arrival[T]{message, err}:
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
