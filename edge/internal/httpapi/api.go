package httpapi

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/wxbroker/wxbroker/edge/internal/localkey"
	"github.com/wxbroker/wxbroker/edge/internal/report"
	"github.com/wxbroker/wxbroker/edge/internal/signing"
	"github.com/wxbroker/wxbroker/pkg/daemon"
)

// API answers pages and apps. It is an http.Handler; all fields are required,
// but Report only where there are Keys.
type API struct {
	State *signing.State
	// Keys unlock what hands out credentials or calls WeChat; with none it is
	// refused.
	Keys localkey.Keys
	// Report tells the broker, for whoever holds the key of that name. Its
	// errors are gRPC statuses.
	Report func(ctx context.Context, key string, r report.Report) (report.Versions, error)
	// Answered is told of every answer, by route and HTTP status.
	Answered func(route string, status int)
}

// route is one path: the methods it takes and what answers them.
type route struct {
	methods []string
	// handle returns what is sent as JSON.
	handle func(a *API, r *http.Request) (any, error)
}

var (
	getOrPost = []string{http.MethodGet, http.MethodPost}
	routes    = map[string]route{
		"/v1/jsapi/config":    {getOrPost, (*API).config},
		"/v1/jsapi/signature": {[]string{http.MethodPost}, (*API).signature},
		"/v1/report":          {[]string{http.MethodPost}, (*API).report},
		"/getApi":             {getOrPost, (*API).getAPI},
		"/all":                {getOrPost, (*API).all},
		"/nonce":              {getOrPost, (*API).nonce},
		"/token":              {getOrPost, (*API).token},
		"/ticket":             {getOrPost, (*API).ticket},
	}
)

// ServeHTTP answers one request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, answer, err := a.answer(w, r)
	status := http.StatusOK
	if err != nil {
		status, answer = failure(w, err)
	}
	daemon.Answer(w, status, answer)
	a.Answered(name, status)
}

func (a *API) answer(w http.ResponseWriter, r *http.Request) (name string, answer any, err error) {
	route, ok := routes[r.URL.Path]
	if !ok {
		return "other", nil, refuse(http.StatusNotFound, "there is nothing at this path")
	}
	// A HEAD is a GET whose answer's body net/http leaves out.
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	if !slices.Contains(route.methods, method) {
		w.Header().Set("Allow", strings.Join(route.methods, ", "))
		return r.URL.Path, nil, refuse(http.StatusMethodNotAllowed, "this path takes %s", strings.Join(route.methods, " and "))
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	answer, err = route.handle(a, r)
	return r.URL.Path, answer, err
}
