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

// API answers programs that take it for WeChat. All fields are required, but
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

// form is that of WeChat's paths: at least two segments, of characters that are
// never escaped, so that nobody reads them in two ways.
var form = regexp.MustCompile(`^/[a-z][a-z0-9_-]*(/[A-Za-z0-9._~-]+)+$`)

// cleaned returns a path as WeChat would read it. It is unescaped already.
func cleaned(p string) string { return path.Clean("/" + p) }

// Find returns what answers a path, and its name for the metrics, which must not
// grow with what strangers ask for; false for a path that WeChat cannot have.
func (a *API) Find(p string) (name string, serve Serve, ok bool) {
	p = cleaned(p)
	switch {
	case !form.MatchString(p) || strings.HasPrefix(p, "/v1/"):
		return "", nil, false
	case p == wxapi.PathToken:
		return p, a.shaped(a.token), true
	case p == wxapi.PathStableToken:
		return p, a.shaped(a.stableToken), true
	case p == wxapi.PathTicket:
		return p, a.shaped(a.ticket), true
	}
	return "forwarded", a.forward, true
}

// shaped has a request answered as WeChat does: with HTTP 200 whatever comes of
// it, as SDKs expect.
func (a *API) shaped(handle func(*http.Request, *audit.Entry) (any, error)) Serve {
	return func(w http.ResponseWriter, r *http.Request) (int, bool) {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		var entry audit.Entry
		answer, err := handle(r, &entry)
		if err != nil {
			sent, audited := refuse(w, err)
			a.Audit(entry.Of(r, audited, inWords(err)))
			return sent, true
		}
		daemon.Answer(w, http.StatusOK, answer)
		a.Audit(entry.Of(r, http.StatusOK, nil))
		return http.StatusOK, true
	}
}
