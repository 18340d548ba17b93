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

// firstRequest is how long a caller may take to say what to call.
const firstRequest = 10 * time.Second

// reader reads the requests of a Call, and waits for none of them without end. It is
// the reader of the body.
type reader struct {
	ctx    context.Context
	came   <-chan inbox.Arrival[*wxbrokerv1.CallRequest]
	piece  []byte
	failed atomic.Pointer[error] // why the body did not come, unless its caller has left
}

// next waits for the next request.
func (r *reader) next(wait time.Duration) (*wxbrokerv1.CallRequest, error) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case request := <-r.came:
		return request.Message, request.Err
	case <-timer.C:
		return nil, status.Errorf(codes.DeadlineExceeded, "nothing more of the call came within %v", wait)
	case <-r.ctx.Done():
		return nil, status.FromContextError(r.ctx.Err()).Err()
	}
}

// head waits for the first request.
func (r *reader) head() (*wxbrokerv1.CallHead, error) {
	first, err := r.next(firstRequest)
	switch {
	case errors.Is(err, io.EOF), err == nil && first.GetHead() == nil:
		return nil, relay.Refuse(codes.InvalidArgument, "the first request has to say what to call")
	case err != nil:
		return nil, err
	}
	return first.GetHead(), nil
}

// Read reads what comes after the head.
func (r *reader) Read(p []byte) (int, error) {
	for len(r.piece) == 0 {
		next, err := r.next(standstill)
		if err == nil && next.GetHead() != nil {
			err = relay.Refuse(codes.InvalidArgument, "only the first request says what to call")
		}
		if err != nil {
			if !errors.Is(err, io.EOF) && r.ctx.Err() == nil {
				r.failed.Store(&err)
			}
			return 0, err // io.EOF at its end
		}
		r.piece = next.GetBody()
	}
	n := copy(p, r.piece)
	r.piece = r.piece[n:]
	return n, nil
}
