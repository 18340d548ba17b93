package httpapi

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	grpcstatus "google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/edge/internal/audit"
	"github.com/wxbroker/wxbroker/edge/internal/broker"
	"github.com/wxbroker/wxbroker/pkg/daemon"
)

const (
	// clientStall is how long a client may take or send nothing while there is
	// something to be taken or sent. The server's own timeouts bound whole
	// requests, and would cut off what is large.
	clientStall = 20 * time.Second
	// portion is how much of what is large a client has to take or to send in that
	// time at least, in bytes. The last of an answer may wait in the sockets'
	// buffers, so one that fits in them is not waited for at all.
	portion = 32 << 10
)

// await keeps the server's timeout from passing while something else is waited
// for, for as long as that may take.
func await(w http.ResponseWriter, longest time.Duration) {
	// Where there is no deadline to move, in a test, there is none to pass.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(longest + clientStall))
}

// flow is an answer that is sent in pieces.
type flow struct {
	w       http.ResponseWriter
	control *http.ResponseController
	status  int   // that was sent, 0 for none yet
	left    int64 // bytes that are still to come, -1 where that is not known
}

func newFlow(w http.ResponseWriter) *flow {
	return &flow{w: w, control: http.NewResponseController(w), left: -1}
}

// errClient ends an answer that its client does not take. It gets no other.
var errClient = refuse(http.StatusServiceUnavailable, "the client did not take the whole answer")

// begin sends the head of an answer, whose header is set but for the length of
// what follows, -1 where that is not known.
func (f *flow) begin(status int, length int64) {
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
	await(f.w, broker.Stall)
}

// piece sends a piece.
func (f *flow) piece(piece []byte) error {
	if f.left >= 0 {
		if f.left -= int64(len(piece)); f.left < 0 {
			return errors.New("the answer is longer than was said")
		}
	}
	for len(piece) > 0 {
		part := piece[:min(portion, len(piece))]
		piece = piece[len(part):]
		_ = f.control.SetWriteDeadline(time.Now().Add(clientStall)) // as in await
		_, err := f.w.Write(part)
		// Over HTTP/2 a deadline that passes ends the answer, whether or not
		// anything is being written.
		await(f.w, broker.Stall)
		if err != nil {
			return errClient
		}
	}
	return nil
}

// end tells the audit what came of a request, and refuses it if nothing was
// sent yet. It returns what a route's stream does.
func (a *API) end(f *flow, r *http.Request, entry audit.Entry, err error) (status int, whole bool) {
	await(f.w, 0) // what was waited for has come, or never will
	var known *refusal
	if err != nil && f.status != 0 && !errors.As(err, &known) {
		err = refuse(http.StatusServiceUnavailable, "the answer broke off: %s", grpcstatus.Convert(err).Message())
	}
	a.audited(r, entry, max(f.status, statusOf(err)), err)
	if err != nil && f.status == 0 {
		var answer any
		f.status, answer = failure(f.w, err)
		daemon.Answer(f.w, f.status, answer)
		return f.status, true
	}
	return f.status, err == nil
}

// whole says why what was sent is not what was said, nil if it is.
func (f *flow) whole() error {
	if f.left > 0 {
		return errors.New("the answer is shorter than was said")
	}
	return nil
}
