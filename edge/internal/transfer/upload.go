package transfer

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/wxbroker/wxbroker/edge/internal/broker"
)

// Upload is a request's body on its way to somebody else. Its client has to send
// minProgress bytes in each clientStall, or the edge stops waiting for it. Otherwise a
// client could hold a connection for days with a byte now and then. Make it with
// NewUpload.
type Upload struct {
	body    io.Reader
	control *http.ResponseController
	// patience is how long the client may still keep the edge waiting. It shrinks with
	// the time spent waiting, and grows with every byte that arrives.
	patience time.Duration

	mu     sync.Mutex
	end    error // the error of the last Read, nil until there is one
	closed bool
}

// NewUpload returns an Upload of the body of the request that w answers.
func NewUpload(w http.ResponseWriter, body io.Reader) *Upload {
	return &Upload{body: body, control: http.NewResponseController(w), patience: clientStall}
}

// Read reads the next bytes. It waits no longer than the client's patience.
func (u *Upload) Read(p []byte) (int, error) {
	began, err := u.begin()
	if err != nil {
		return 0, err
	}
	n, err := u.body.Read(p)
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case err == nil, errors.Is(err, io.EOF):
	case u.closed:
		err = http.ErrBodyReadAfterClose // Close ended the read
	default:
		err = &BodyError{err}
	}
	u.patience = min(clientStall, u.patience-time.Since(began)+time.Duration(n)*clientStall/minProgress)
	switch {
	case err != nil:
		u.end = err
	case !u.closed:
		// Over HTTP/2 the deadline would stay in force, and end the body while the edge
		// waits for the broker.
		_ = u.control.SetReadDeadline(time.Time{}) // as in ExtendDeadline
	}
	return n, err
}

// begin sets the deadlines of a Read. It returns an error where there is nothing more to
// read, and leaves the deadlines alone then. Past the body's end net/http itself reads,
// and would take a passed deadline for a client that has left.
func (u *Upload) begin() (time.Time, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case u.end != nil:
		return time.Time{}, u.end
	case u.closed:
		return time.Time{}, http.ErrBodyReadAfterClose
	}
	now := time.Now()
	_ = u.control.SetReadDeadline(now.Add(u.patience)) // as in ExtendDeadline
	// The broker may take its time for this piece, and then for the answer.
	_ = u.control.SetWriteDeadline(now.Add(u.patience + 2*broker.Stall + clientStall))
	return now, nil
}

// BodyError says why a request's body could not be read.
type BodyError struct{ Err error }

// Error implements error.
func (e *BodyError) Error() string { return e.Err.Error() }

// Unwrap returns why.
func (e *BodyError) Unwrap() error { return e.Err }

// Close ends a Read that is under way, when nobody wants more of the body. The server
// then believes that the client has left. Interrupted tells that apart.
func (u *Upload) Close() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.end == nil && !u.closed {
		u.closed = true
		_ = u.control.SetReadDeadline(time.Unix(1, 0)) // as in ExtendDeadline
	}
	return nil
}

// Interrupted reports whether Close ended the upload before the body's end.
func (u *Upload) Interrupted() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.closed
}

// Drain reads the body of a GET, which has no meaning, up to limit bytes. net/http
// notices that a client leaves only once the body was read. The server's own timeout
// bounds Drain.
func Drain(w http.ResponseWriter, r *http.Request, limit int64) error {
	if r.ContentLength > limit {
		return &BodyError{&http.MaxBytesError{Limit: limit}}
	}
	if _, err := io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, limit)); err != nil {
		return &BodyError{err}
	}
	return nil
}
