package transfer

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	grpcstatus "google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/edge/internal/broker"
)

const (
	// clientStall is how long a client may take or send nothing while there is
	// something to be taken or sent.
	clientStall = 20 * time.Second
	// portion is how much of what is large a client has to take or to send in that
	// time at least, in bytes. The last of an answer may wait in the sockets'
	// buffers, so one that fits in them is not waited for at all.
	portion = 32 << 10
)

// Await keeps the server's timeout from passing while something else is waited
// for, for as long as that may take.
func Await(w http.ResponseWriter, longest time.Duration) {
	// Where there is no deadline to move, in a test, there is none to pass.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(longest + clientStall))
}

// Flow is an answer that is sent in pieces. Make it with NewFlow.
type Flow struct {
	w       http.ResponseWriter
	control *http.ResponseController
	status  int   // that was sent, 0 for none yet
	left    int64 // bytes that are still to come, -1 where that is not known
}

// NewFlow returns a Flow of which nothing is sent yet.
func NewFlow(w http.ResponseWriter) *Flow {
	return &Flow{w: w, control: http.NewResponseController(w), left: -1}
}

// Header returns the answer's header, for before Begin.
func (f *Flow) Header() http.Header { return f.w.Header() }

// Begun reports whether a status was sent.
func (f *Flow) Begun() bool { return f.status != 0 }

// ErrClient ends an answer that its client does not take. It gets no other.
var ErrClient = errors.New("the client did not take the whole answer")

// Begin sends the head of an answer, whose header is set but for the length of
// what follows, -1 where that is not known.
func (f *Flow) Begin(status int, length int64) {
	h := f.w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	// What follows is somebody else's. A browser that shows it must not take it
	// for a page of this origin.
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	if h["Content-Type"] == nil {
		h["Content-Type"] = nil // or net/http would guess one
	}
	if f.left = length; length >= 0 {
		h.Set("Content-Length", strconv.FormatInt(length, 10))
	}
	f.status = status
	f.w.WriteHeader(status)
	Await(f.w, broker.Stall)
}

// Piece sends a piece.
func (f *Flow) Piece(piece []byte) error {
	if f.left >= 0 {
		if f.left -= int64(len(piece)); f.left < 0 {
			return errors.New("the answer is longer than was said")
		}
	}
	for len(piece) > 0 {
		part := piece[:min(portion, len(piece))]
		piece = piece[len(part):]
		_ = f.control.SetWriteDeadline(time.Now().Add(clientStall)) // as in Await
		_, err := f.w.Write(part)
		// Over HTTP/2 a deadline that passes ends the answer, whether or not
		// anything is being written.
		Await(f.w, broker.Stall)
		if err != nil {
			return ErrClient
		}
	}
	return nil
}

// Whole says why what was sent is not what was said, nil if it is.
func (f *Flow) Whole() error {
	if f.left > 0 {
		return errors.New("the answer is shorter than was said")
	}
	return nil
}

// Send sends a whole answer by itself, in the place of pieces. send returns the
// status that it sent.
func (f *Flow) Send(send func(http.ResponseWriter) (status int)) { f.status = send(f.w) }

// Outcome is what came of an answer.
type Outcome struct {
	Status  int   // that was sent
	Audited int   // for the audit: 503 for an answer that broke off
	Err     error // why it is not whole, or was refused
	Whole   bool  // else nobody may take it for a whole one
}

// End ends an answer. Where err came before anything was sent, refuse sends what
// its client is told, and returns the status that it sent and that of the audit.
func (f *Flow) End(err error, refuse func(http.ResponseWriter, error) (sent, audited int)) Outcome {
	Await(f.w, 0) // what was waited for has come, or never will
	switch {
	case err == nil:
		return Outcome{f.status, f.status, nil, true}
	case f.status == 0:
		sent, audited := refuse(f.w, err)
		return Outcome{sent, audited, err, true}
	case !errors.Is(err, ErrClient):
		err = fmt.Errorf("the answer broke off: %s", grpcstatus.Convert(err).Message())
	}
	return Outcome{f.status, http.StatusServiceUnavailable, err, false}
}
