package wechat

import (
	"io"
	"net/http"
	"time"
)

const (
	// idleTimeout breaks off an app's call when no byte moves for that long, in
	// either direction.
	idleTimeout = 30 * time.Second
	// keepAlive is how long an unused connection stays open for the next call. It is
	// shorter than WeChat's own, or calls would meet connections that WeChat has just
	// closed.
	keepAlive = 5 * time.Second
)

// activityReader restarts a call's idle timer whenever it reads something.
type activityReader struct {
	io.Reader
	idleTimer *time.Timer
}

func (a activityReader) Read(p []byte) (int, error) {
	n, err := a.Reader.Read(p)
	if n > 0 {
		a.idleTimer.Reset(idleTimeout)
	}
	return n, err
}

// newAppClient returns a client for calls of apps, which are many at a time and some
// of them long. keep lets a connection serve several calls. Without it net/http never
// repeats a call, whatever becomes of it.
func newAppClient(like *http.Transport, keep bool) *http.Client {
	transport := like.Clone()
	transport.DisableKeepAlives = !keep
	transport.MaxIdleConnsPerHost = 100
	transport.IdleConnTimeout = keepAlive
	transport.ResponseHeaderTimeout = idleTimeout
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
