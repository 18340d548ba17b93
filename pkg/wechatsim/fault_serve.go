package wechatsim

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// serveFault answers a call in the way a fault wants.
func (s *Sim) serveFault(w http.ResponseWriter, r *http.Request, c *call, f Fault) {
	var effect answer
	if f.Kind == FaultLost || f.Kind == FaultTruncate {
		effect = s.perform(c)
	}
	s.note(c, faultOutcome(f.Kind))
	switch f.Kind {
	case FaultCode:
		writeJSON(w, http.StatusOK, s.refuseAs(c, f.Code, f.Message))
	case FaultEcho:
		echo := fmt.Sprintf("invalid request %s?%s %s", c.path, c.raw, c.body)
		writeJSON(w, http.StatusOK, s.refuseAs(c, f.Code, echo))
	case FaultStatus:
		writeText(w, f.Status, "text/plain; charset=utf-8", f.Body)
	case FaultHTML:
		writeText(w, f.Status, "text/html; charset=utf-8", f.Body)
	case FaultMalformed:
		writeJSON(w, http.StatusOK, []byte(f.Body))
	case FaultEmpty:
		writeJSON(w, http.StatusOK, nil)
	case FaultRedirect:
		w.Header().Set("Location", f.Location)
		w.WriteHeader(f.Status)
	case FaultTruncate:
		effect.write(&halfWriter{ResponseWriter: w}, r)
	case FaultOversize:
		flood(w, f.Megabytes)
	case FaultHang:
		wait(r.Context(), f.Duration)
		panic(http.ErrAbortHandler) // the way to close a connection unanswered
	case FaultReset, FaultLost:
		reset(w)
	case FaultDelay:
		panic("wechatsim: a delay does not answer") // see serveAPI
	}
}

// refuseAs words an injected return code as WeChat would.
func (s *Sim) refuseAs(c *call, code int, message string) []byte {
	s.mu.Lock()
	now, seen := s.now(), s.settings.SeenAddress
	s.mu.Unlock()
	if seen.IsValid() {
		c.from = seen.Unmap()
	}
	switch {
	case message != "":
	case code == codeAddress:
		message = notAllowed(c)
	case messages[code] != "":
		message = messages[code]
	default:
		message = "system error"
	}
	if isSNS(c.path) {
		message += "," // see refuseSNS
	}
	return refuseSaying(code, message, now).body
}

// halfWriter announces a whole answer and lets half of its body through. The server
// closes the connection after an answer that is shorter than it announced.
type halfWriter struct {
	http.ResponseWriter
	left int64 // bytes of the body still to come
}

func (h *halfWriter) WriteHeader(status int) {
	whole, _ := strconv.ParseInt(h.Header().Get("Content-Length"), 10, 64)
	h.left = whole / 2
	h.ResponseWriter.WriteHeader(status)
}

func (h *halfWriter) Write(b []byte) (int, error) {
	if int64(len(b)) <= h.left {
		h.left -= int64(len(b))
		return h.ResponseWriter.Write(b)
	}
	n, _ := h.ResponseWriter.Write(b[:h.left])
	h.left = 0
	return n, io.ErrShortWrite // so that the rest is not even read
}

func writeText(w http.ResponseWriter, status int, contentType, body string) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	fmt.Fprint(w, body)
}

// flood writes one JSON string without an end, and breaks off after so many megabytes.
// A client that reads until then has read too much.
func flood(w http.ResponseWriter, megabytes int) {
	w.Header().Set("Content-Type", "application/json; encoding=utf-8")
	fmt.Fprint(w, `{"errcode":0,"errmsg":"`)
	chunk := bytes.Repeat([]byte("x"), 1<<16)
	for range megabytes << 20 / len(chunk) {
		if _, err := w.Write(chunk); err != nil {
			break // the client left
		}
	}
	panic(http.ErrAbortHandler)
}

// reset closes the connection instead of answering. Over HTTP/2, where it cannot take
// the connection, it breaks off the stream.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if secured, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = secured.NetConn() // no TLS farewell
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // RST in place of FIN; fails on a dead connection only
	}
	conn.Close()
}

// wait sleeps for d, or without end if d is zero, and says whether the client
// is still there.
func wait(ctx context.Context, d time.Duration) bool {
	if d == 0 {
		<-ctx.Done()
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
