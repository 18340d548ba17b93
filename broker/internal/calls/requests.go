package calls

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/broker/internal/inbox"
	"github.com/wxbroker/wxbroker/broker/internal/relay"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// firstRequestTimeout is how long a caller may take to say what to call.
const firstRequestTimeout = 10 * time.Second

// requestReader reads the requests of a Call, each within a bound. As an io.Reader it
// reads the body.
type requestReader struct {
	ctx      context.Context
	arrivals <-chan inbox.Arrival[*wxbrokerv1.CallRequest]
	piece    []byte                // of the body, not read yet
	failure  atomic.Pointer[error] // why the body did not come, nil where the caller has left
}

// next waits for the next request.
func (r *requestReader) next(wait time.Duration) (*wxbrokerv1.CallRequest, error) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case request := <-r.arrivals:
		return request.Message, request.Err
	case <-timer.C:
		return nil, status.Errorf(codes.DeadlineExceeded, "nothing more of the call came within %v", wait)
	case <-r.ctx.Done():
		return nil, status.FromContextError(r.ctx.Err()).Err()
	}
}

// head waits for the first request.
func (r *requestReader) head() (*wxbrokerv1.CallHead, error) {
	first, err := r.next(firstRequestTimeout)
	switch {
	case errors.Is(err, io.EOF), err == nil && first.GetHead() == nil:
		return nil, relay.Refuse(codes.InvalidArgument, "the first request has to say what to call")
	case err != nil:
		return nil, err
	}
	return first.GetHead(), nil
}

// Read reads the body, which comes after the head.
func (r *requestReader) Read(p []byte) (int, error) {
	for len(r.piece) == 0 {
		next, err := r.next(idleTimeout)
		if err == nil && next.GetHead() != nil {
			err = relay.Refuse(codes.InvalidArgument, "only the first request says what to call")
		}
		if err != nil {
			if !errors.Is(err, io.EOF) && r.ctx.Err() == nil {
				r.failure.Store(&err)
			}
			return 0, err // io.EOF at the body's end
		}
		r.piece = next.GetBody()
	}
	n := copy(p, r.piece)
	r.piece = r.piece[n:]
	return n, nil
}
