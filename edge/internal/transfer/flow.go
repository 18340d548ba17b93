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
	// clientStall is how long a client may make no progress while there is something
	// to take or to send.
	clientStall = 20 * time.Second
	// minProgress is how many bytes a client has to take or to send in each
	// clientStall. The last bytes of an answer may wait in the sockets' buffers. So the
	// edge does not wait at all for a client that takes an answer which fits in them.
	minProgress = 32 << 10
)

// ExtendDeadline moves the server's write deadline, so that it does not pass while the
// edge waits for something else. wait is how long that may take.
func ExtendDeadline(w http.ResponseWriter, wait time.Duration) {
	// In a test there may be no deadline to move. Then none can pass.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(wait + clientStall))
}

// Flow is an answer that is sent in pieces. Make it with NewFlow.
type Flow struct {
	w       http.ResponseWriter
	control *http.ResponseController
	status  int   // the status that was sent, 0 for none yet
	left    int64 // bytes that are still to come, -1 where their number is not known
}

// NewFlow returns a Flow that has sent nothing yet.
func NewFlow(w http.ResponseWriter) *Flow {
	return &Flow{w: w, control: http.NewResponseController(w), left: -1}
}

// Header returns the answer's header. It may be changed until Begin.
func (f *Flow) Header() http.Header { return f.w.Header() }

// Begun reports whether a status was sent.
func (f *Flow) Begun() bool { return f.status != 0 }

// ErrClient ends an answer that its client does not take. The client gets no other
// answer.
var ErrClient = errors.New("the client did not take the whole answer")

// Begin sends the head of an answer. The caller has set the header, except for the
// length. length is that of the body, -1 where it is not known.
func (f *Flow) Begin(status int, length int64) {
	h := f.w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	// The body is somebody else's. A browser that shows it must not take it for a
	// page of this origin.
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	if h["Content-Type"] == nil {
		h["Content-Type"] = nil // or net/http would guess one
	}
	if f.left = length; length >= 0 {
		h.Set("Content-Length", strconv.FormatInt(length, 10))
	}
	f.status = status
	f.w.WriteHeader(status)
	ExtendDeadline(f.w, broker.Stall)
}

// Piece sends a piece.
func (f *Flow) Piece(piece []byte) error {
	if f.left >= 0 {
		if f.left -= int64(len(piece)); f.left < 0 {
			return errors.New("the answer is longer than its announced length")
		}
	}
	for len(piece) > 0 {
		part := piece[:min(minProgress, len(piece))]
		piece = piece[len(part):]
		_ = f.control.SetWriteDeadline(time.Now().Add(clientStall)) // as in ExtendDeadline
		_, err := f.w.Write(part)
		// Over HTTP/2 a deadline that passes ends the answer, whether or not
		// anything is being written.
		ExtendDeadline(f.w, broker.Stall)
		if err != nil {
			return ErrClient
		}
	}
	return nil
}

// CheckLength returns an error where the answer is shorter than the length that was
// given to Begin.
func (f *Flow) CheckLength() error {
	if f.left > 0 {
		return errors.New("the answer is shorter than its announced length")
	}
	return nil
}

// Send lets send write a whole answer, in the place of pieces. send returns the status
// that it sent.
func (f *Flow) Send(send func(http.ResponseWriter) (status int)) { f.status = send(f.w) }

// Outcome is the outcome of an answer.
type Outcome struct {
	Status  int   // the status that was sent
	Audited int   // the status for the audit: 503 for an answer that broke off
	Err     error // why the answer is not whole, or was refused
	Whole   bool  // if not, the connection has to end, so that the client notices
}

// End ends an answer. Where err came before anything was sent, refuse sends the answer
// for err. It returns the status that it sent, and the status for the audit.
func (f *Flow) End(err error, refuse func(http.ResponseWriter, error) (sent, audited int)) Outcome {
	ExtendDeadline(f.w, 0) // the edge waits for nobody any more
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
