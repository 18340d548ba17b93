package httpapi

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

// upload is a request's body on its way elsewhere. Its client has to send
// something all the time.
type upload struct {
	body    io.Reader
	control *http.ResponseController
	waits   time.Duration // for the answer, once all has been sent

	mu     sync.Mutex
	ended  bool // what Read returned
	closed bool
}

// Read reads on, within bounds of its own.
func (u *upload) Read(p []byte) (int, error) {
	u.mu.Lock()
	if u.closed {
		u.mu.Unlock()
		return 0, http.ErrBodyReadAfterClose
	}
	now := time.Now()
	_ = u.control.SetReadDeadline(now.Add(clientStall)) // as in await
	_ = u.control.SetWriteDeadline(now.Add(clientStall + u.waits + clientStall))
	u.mu.Unlock()
	n, err := u.body.Read(p)
	if err != nil {
		u.mu.Lock()
		u.ended = true
		u.mu.Unlock()
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = &bodyError{err}
	}
	return n, err
}

// bodyError says why a request's body could not be read.
type bodyError struct{ error }

func (e *bodyError) Unwrap() error { return e.error }

// Close ends a Read that is under way: nobody wants more of the body. The
// server then takes the client for gone, so see interrupted.
func (u *upload) Close() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.ended && !u.closed {
		u.closed = true
		_ = u.control.SetReadDeadline(time.Unix(1, 0)) // as in await
	}
	return nil
}

// interrupted reports whether Close ended it before its end.
func (u *upload) interrupted() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.closed
}
