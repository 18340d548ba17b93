package inbox_test

import (
	"context"
	"io"
	"testing"
	"testing/synctest"

	"github.com/wxbroker/wxbroker/broker/internal/inbox"
)

// stream has a number of messages, and then its end.
type stream struct {
	ctx  context.Context
	left int
}

func (s *stream) Context() context.Context { return s.ctx }

func (s *stream) Recv() (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	s.left--
	return s.left, nil
}

// TestMessagesComeInOrder, up to the first error, after which none is waited for: in a
// bubble a goroutine that does not end fails the test.
func TestMessagesComeInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		came := inbox.Open(&stream{context.Background(), 2})
		for _, want := range []inbox.Arrival[int]{{Message: 1}, {Message: 0}, {Err: io.EOF}} {
			if got := <-came; got != want {
				t.Errorf("got %v, want %v", got, want)
			}
		}
	})
}

// TestNothingWaitsOnceTheStreamHasEnded, though nobody takes its messages.
func TestNothingWaitsOnceTheStreamHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		inbox.Open(&stream{ctx, 2})
		synctest.Wait()
		cancel()
	})
}
