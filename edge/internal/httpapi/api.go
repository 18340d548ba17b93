package httpapi

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/rs/cors"

	"github.com/wxbroker/wxbroker/edge/internal/audit"
	"github.com/wxbroker/wxbroker/edge/internal/localkey"
	"github.com/wxbroker/wxbroker/edge/internal/report"
	"github.com/wxbroker/wxbroker/edge/internal/signing"
	"github.com/wxbroker/wxbroker/pkg/daemon"
)

// API answers pages and apps. It is an http.Handler; all fields are required,
// but Keys and Report.
type API struct {
	State *signing.State
	// Keys unlock what hands out credentials or calls WeChat; nil refuses it to
	// everybody.
	Keys *localkey.Source
	// Report tells the broker, for whoever holds the key of that name. Its
	// errors are gRPC statuses. It is required where there are Keys.
	Report func(ctx context.Context, key string, r report.Report) (report.Versions, error)
	// Audit is told of everything that takes a key, done or refused.
	Audit func(audit.Entry)
	// Answered is told of every answer, by route and HTTP status.
	Answered func(route string, status int)

	once   sync.Once
	policy *cors.Cors // see origins
}

// route is one path: the methods it takes and what answers them.
type route struct {
	methods []string
	// handle returns what is sent as JSON.
	handle func(a *API, r *http.Request) (any, error)
	// shared is set where pages of other origins may read the answer.
	shared bool
}

var (
	getOrPost = []string{http.MethodGet, http.MethodPost}
	routes    = map[string]route{
		"/v1/jsapi/config":    {getOrPost, (*API).config, true},
		"/v1/jsapi/signature": {[]string{http.MethodPost}, (*API).signature, true},
		"/v1/report":          {[]string{http.MethodPost}, (*API).report, false},
		"/getApi":             {getOrPost, (*API).getAPI, true},
		"/all":                {getOrPost, (*API).all, true},
		"/nonce":              {getOrPost, (*API).nonce, true},
		"/token":              {getOrPost, (*API).token, false},
		"/ticket":             {getOrPost, (*API).ticket, false},
	}
)

// ServeHTTP answers one request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if routes[r.URL.Path].shared {
		a.origins().ServeHTTP(w, r, a.serve)
		return
	}
	a.serve(w, r)
}

func (a *API) serve(w http.ResponseWriter, r *http.Request) {
	name, answer, err := a.answer(w, r)
	status := http.StatusOK
	switch {
	case err != nil:
		status, answer = failure(w, err)
	case answer == nil:
		status = http.StatusNoContent
	}
	if status == http.StatusNoContent {
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(status)
	} else {
		daemon.Answer(w, status, answer)
	}
	a.Answered(name, status)
}

// answer returns what is sent as JSON, nil for nothing, and the route's name.
func (a *API) answer(w http.ResponseWriter, r *http.Request) (name string, answer any, err error) {
	route, ok := routes[r.URL.Path]
	if !ok {
		return "other", nil, refuse(http.StatusNotFound, "there is nothing at this path")
	}
	if route.shared && isPreflight(r) {
		return r.URL.Path, nil, preflight(w)
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
