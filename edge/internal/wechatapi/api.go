package wechatapi

import (
	"net/http"
	"path"
	"regexp"
	"strings"

	"github.com/wxbroker/wxbroker/edge/internal/admit"
	"github.com/wxbroker/wxbroker/edge/internal/audit"
	"github.com/wxbroker/wxbroker/edge/internal/broker"
	"github.com/wxbroker/wxbroker/pkg/daemon"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

// API answers programs that take it for WeChat. All fields are required, except for
// Broker where there are no local keys.
type API struct {
	Door   admit.Door
	Broker *broker.Client
	Audit  func(audit.Entry)
}

// maxBody bounds the body of a request that is answered here, in bytes.
const maxBody = 64 << 10

// Serve answers one request. It returns the status that was sent, and false if the
// answer ended before it was whole.
type Serve func(w http.ResponseWriter, r *http.Request) (status int, whole bool)

// pathForm is the form of WeChat's paths. They have at least two segments, of characters
// that are never escaped, so that nobody can read them in two ways.
var pathForm = regexp.MustCompile(`^/[a-z][a-z0-9_-]*(/[A-Za-z0-9._~-]+)+$`)

// cleanPath returns a path as WeChat would read it. p has no escapes any more.
func cleanPath(p string) string { return path.Clean("/" + p) }

// Find returns the function that answers a path, and the path's name in the metrics.
// Names are few, because the metrics must not grow with the paths that strangers ask
// for. ok is false for a path that WeChat cannot have.
func (a *API) Find(p string) (name string, serve Serve, ok bool) {
	p = cleanPath(p)
	switch {
	case !pathForm.MatchString(p) || strings.HasPrefix(p, "/v1/"):
		return "", nil, false
	case p == wxapi.PathToken:
		return p, a.serveAsWeChat(a.token), true
	case p == wxapi.PathStableToken:
		return p, a.serveAsWeChat(a.stableToken), true
	case p == wxapi.PathTicket:
		return p, a.serveAsWeChat(a.ticket), true
	}
	return "forwarded", a.forward, true
}

// serveAsWeChat returns a Serve that answers as WeChat does. The answer has HTTP 200
// even when it is an error, as SDKs expect.
func (a *API) serveAsWeChat(handle func(*http.Request, *audit.Entry) (any, error)) Serve {
	return func(w http.ResponseWriter, r *http.Request) (int, bool) {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		var entry audit.Entry
		answer, err := handle(r, &entry)
		if err != nil {
			sent, audited := refuse(w, err)
			a.Audit(entry.Of(r, audited, refusalFor(err)))
			return sent, true
		}
		daemon.Answer(w, http.StatusOK, answer)
		a.Audit(entry.Of(r, http.StatusOK, nil))
		return http.StatusOK, true
	}
}
