package httpapi

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/cors"

	"github.com/wxbroker/wxbroker/edge/internal/admit"
	"github.com/wxbroker/wxbroker/edge/internal/audit"
	"github.com/wxbroker/wxbroker/edge/internal/broker"
	"github.com/wxbroker/wxbroker/edge/internal/localkey"
	"github.com/wxbroker/wxbroker/edge/internal/signing"
	"github.com/wxbroker/wxbroker/edge/internal/transfer"
	"github.com/wxbroker/wxbroker/edge/internal/wechatapi"
	"github.com/wxbroker/wxbroker/pkg/daemon"
)

// API answers pages and apps. It is an http.Handler; all fields are required,
// but Keys, Report and Calls.
type API struct {
	State *signing.State
	// Keys unlock what hands out credentials or calls WeChat; nil refuses it to
	// everybody.
	Keys *localkey.Source
	// Broker is told of refused credentials, and calls WeChat. It is required where
	// there are Keys.
	Broker *broker.Client
	// Audit is told of everything that takes a key, done or refused.
	Audit func(audit.Entry)
	// Answered is told of every answer, by route and HTTP status.
	Answered func(route string, status int)

	once   sync.Once
	policy *cors.Cors // see origins
}

// route is one path: the methods it takes and what answers them.
type route struct {
	// methods are nil where stream sees to them: WeChat's paths take others.
	methods []string
	// handle returns what is sent as JSON.
	handle func(a *API, r *http.Request) (any, error)
	// stream, in place of handle, answers by itself.
	stream wechatapi.Serve
	// shared is set where pages of other origins may read the answer.
	shared bool
	// acts is set where a GET does what a HEAD, which should only look, must not.
	acts bool
	// waits is how long handle may take, where the server would not wait for it.
	waits time.Duration
}

var (
	getOrPost = []string{http.MethodGet, http.MethodPost}
	onlyGet   = []string{http.MethodGet}
	onlyPost  = []string{http.MethodPost}
	routes    = map[string]route{
		"/v1/jsapi/config":    {methods: getOrPost, handle: (*API).config, shared: true},
		"/v1/jsapi/signature": {methods: onlyPost, handle: (*API).signature, shared: true},
		"/v1/report":          {methods: onlyPost, handle: (*API).report},
		"/v1/template/send":   {methods: onlyPost, handle: (*API).template, waits: broker.Timeout},
		"/v1/oauth/openid":    {methods: onlyGet, handle: (*API).openID, acts: true, waits: 2 * broker.Timeout},
		"/v1/oauth/url":       {methods: onlyGet, handle: (*API).oauthURL},
		"/getApi":             {methods: getOrPost, handle: (*API).getAPI, shared: true},
		"/all":                {methods: getOrPost, handle: (*API).all, shared: true},
		"/nonce":              {methods: getOrPost, handle: (*API).nonce, shared: true},
		"/token":              {methods: getOrPost, handle: (*API).token},
		"/ticket":             {methods: getOrPost, handle: (*API).ticket},
	}
)

// mediaPath is the path of a file, and of its HD voice.
var mediaPath = regexp.MustCompile(`^/v1/media/([^/]+)(/jssdk)?$`)

// find returns the route of a path and its name for the metrics, which must not
// grow with what strangers ask for.
func (a *API) find(path string) (name string, found route, ok bool) {
	if found, ok = routes[path]; ok {
		return path, found, true
	}
	if match := mediaPath.FindStringSubmatch(path); match != nil {
		return "/v1/media/{media_id}" + match[2], route{methods: onlyGet, stream: a.file}, true
	}
	wechat := wechatapi.API{Door: a.door(), Broker: a.Broker, Audit: a.Audit}
	name, serve, ok := wechat.Find(path)
	return name, route{stream: serve}, ok
}

// door lets in who may have a credential, or a call made.
func (a *API) door() admit.Door { return admit.Door{State: a.State, Keys: a.Keys} }

// ServeHTTP answers one request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if routes[r.URL.Path].shared {
		a.origins().ServeHTTP(w, r, a.serve)
		return
	}
	a.serve(w, r)
}

func (a *API) serve(w http.ResponseWriter, r *http.Request) {
	name, route, ok := a.find(r.URL.Path)
	if !ok {
		name = "other"
	}
	err := route.takes(w, r)
	if err == nil && route.stream != nil {
		status, whole := route.stream(w, r)
		a.Answered(name, status)
		if !whole { // so that nobody takes the half for the whole
			panic(http.ErrAbortHandler)
		}
		return
	}
	var answer any
	if err == nil {
		answer, err = a.answer(w, r, route)
	}
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

// takes says why the route does not take a request, nil if it does.
func (t route) takes(w http.ResponseWriter, r *http.Request) error {
	if t.handle == nil && t.stream == nil {
		return refuse(http.StatusNotFound, "there is nothing at this path")
	}
	if t.methods == nil || t.shared && isPreflight(r) {
		return nil
	}
	// A HEAD is a GET whose answer's body net/http leaves out.
	method := r.Method
	if method == http.MethodHead && !t.acts {
		method = http.MethodGet
	}
	if !slices.Contains(t.methods, method) {
		w.Header().Set("Allow", strings.Join(t.methods, ", "))
		return refuse(http.StatusMethodNotAllowed, "this path takes %s", strings.Join(t.methods, " and "))
	}
	return nil
}

// answer returns what is sent as JSON, nil for nothing.
func (a *API) answer(w http.ResponseWriter, r *http.Request, t route) (any, error) {
	if t.shared && isPreflight(r) {
		return nil, preflight(w)
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if t.waits > 0 {
		transfer.Await(w, t.waits)
	}
	return t.handle(a, r)
}
