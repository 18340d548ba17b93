package transfer

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/wxbroker/wxbroker/edge/internal/broker"
)

// Upload is a request's body on its way elsewhere. Its client has to send a
// portion in clientStall, else it is not waited for any longer: a byte now and
// then would hold a connection for days. Make it with NewUpload.
type Upload struct {
	body    io.Reader
	control *http.ResponseController
	// patience is how long its client may still keep us waiting. It wears off
	// while nothing arrives, and grows with what does.
	patience time.Duration

	mu     sync.Mutex
	end    error // what Read returned at last, nil until then
	closed bool
}

// NewUpload returns an Upload of the body of the request that w answers.
func NewUpload(w http.ResponseWriter, body io.Reader) *Upload {
	return &Upload{body: body, control: http.NewResponseController(w), patience: clientStall}
}

// Read reads on, within bounds of its own.
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
		err = http.ErrBodyReadAfterClose // it is Close that ended it
	default:
		err = &BodyError{err}
	}
	u.patience = min(clientStall, u.patience-time.Since(began)+time.Duration(n)*clientStall/portion)
	switch {
	case err != nil:
		u.end = err
	case !u.closed:
		// Over HTTP/2 it would go on, and end the body while the broker is waited for.
		_ = u.control.SetReadDeadline(time.Time{}) // as in Await
	}
	return n, err
}

// begin bounds a Read, or says why there is none. Past the end net/http reads
// by itself, and takes a deadline for the client's departure.
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
	_ = u.control.SetReadDeadline(now.Add(u.patience)) // as in Await
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

// Close ends a Read that is under way: nobody wants more of the body. The
// server then takes the client for gone, so see Interrupted.
func (u *Upload) Close() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.end == nil && !u.closed {
		u.closed = true
		_ = u.control.SetReadDeadline(time.Unix(1, 0)) // as in Await
	}
	return nil
}

// Interrupted reports whether Close ended it before its end.
func (u *Upload) Interrupted() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.closed
}

// Drain reads the body of a GET, of limit bytes at most, which means nothing: only
// behind it net/http notices that a client leaves. The server's own timeout bounds
// it.
func Drain(w http.ResponseWriter, r *http.Request, limit int64) error {
	if r.ContentLength > limit {
		return &BodyError{&http.MaxBytesError{Limit: limit}}
	}
	if _, err := io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, limit)); err != nil {
		return &BodyError{err}
	}
	return nil
}
