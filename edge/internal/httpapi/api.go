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

// API answers pages and apps. It is an http.Handler. All fields but Keys and Broker are
// required.
type API struct {
	State *signing.State
	// Keys unlock the paths that hand out credentials or call WeChat. Where Keys is
	// nil, these paths refuse everybody.
	Keys *localkey.Source
	// Broker takes reports of refused credentials, and makes calls to WeChat. It is
	// required where there are Keys.
	Broker *broker.Client
	// Audit records every request that takes a key, granted or refused.
	Audit func(audit.Entry)
	// Answered is called after every answer, with its route and HTTP status.
	Answered func(route string, status int)

	once   sync.Once
	policy *cors.Cors // see origins
}

// route is one path: the methods that it takes, and the function that answers.
type route struct {
	// methods are nil where stream checks the method itself, as WeChat's paths do.
	methods []string
	// handle returns the value that is sent as JSON.
	handle func(a *API, r *http.Request) (any, error)
	// stream sends the answer itself. A route has either handle or stream.
	stream wechatapi.Serve
	// crossOrigin is set where pages of other origins may read the answer.
	crossOrigin bool
	// hasEffect is set where a GET has an effect. A HEAD must not have one, and is
	// refused.
	hasEffect bool
	// timeout is how long handle may take, where that is longer than the server's
	// own timeout.
	timeout time.Duration
}

var (
	getOrPost = []string{http.MethodGet, http.MethodPost}
	onlyGet   = []string{http.MethodGet}
	onlyPost  = []string{http.MethodPost}
	routes    = map[string]route{
		"/v1/jsapi/config":    {methods: getOrPost, handle: (*API).config, crossOrigin: true},
		"/v1/jsapi/signature": {methods: onlyPost, handle: (*API).signature, crossOrigin: true},
		"/v1/report":          {methods: onlyPost, handle: (*API).report},
		"/v1/template/send":   {methods: onlyPost, handle: (*API).template, timeout: broker.Timeout},
		"/v1/oauth/openid":    {methods: onlyGet, handle: (*API).openID, hasEffect: true, timeout: 2 * broker.Timeout},
		"/v1/oauth/url":       {methods: onlyGet, handle: (*API).oauthURL},
		"/getApi":             {methods: getOrPost, handle: (*API).getAPI, crossOrigin: true},
		"/all":                {methods: getOrPost, handle: (*API).all, crossOrigin: true},
		"/nonce":              {methods: getOrPost, handle: (*API).nonce, crossOrigin: true},
		"/token":              {methods: getOrPost, handle: (*API).token},
		"/ticket":             {methods: getOrPost, handle: (*API).ticket},
	}
)

// mediaPath is the path of a file, and of its HD voice.
var mediaPath = regexp.MustCompile(`^/v1/media/([^/]+)(/jssdk)?$`)

// find returns the route of a path and its name in the metrics. Names are few, because
// the metrics must not grow with the paths that strangers ask for.
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

// door decides who may have a credential, or let the broker call WeChat.
func (a *API) door() admit.Door { return admit.Door{State: a.State, Keys: a.Keys} }

// ServeHTTP answers one request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if routes[r.URL.Path].crossOrigin {
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
	err := route.check(w, r)
	if err == nil && route.stream != nil {
		status, whole := route.stream(w, r)
		a.Answered(name, status)
		if !whole { // end the connection, so that the client notices that a part is missing
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

// check returns why the route does not take a request, nil if it does.
func (t route) check(w http.ResponseWriter, r *http.Request) error {
	if t.handle == nil && t.stream == nil {
		return refuse(http.StatusNotFound, "there is nothing at this path")
	}
	if t.methods == nil || t.crossOrigin && isPreflight(r) {
		return nil
	}
	// A HEAD is a GET whose answer's body net/http leaves out.
	method := r.Method
	if method == http.MethodHead && !t.hasEffect {
		method = http.MethodGet
	}
	if !slices.Contains(t.methods, method) {
		w.Header().Set("Allow", strings.Join(t.methods, ", "))
		return refuse(http.StatusMethodNotAllowed, "this path takes %s", strings.Join(t.methods, " and "))
	}
	return nil
}

// answer returns the value that is sent as JSON, nil for an empty answer.
func (a *API) answer(w http.ResponseWriter, r *http.Request, t route) (any, error) {
	if t.crossOrigin && isPreflight(r) {
		return nil, preflight(w)
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if t.timeout > 0 {
		transfer.ExtendDeadline(w, t.timeout)
	}
	return t.handle(a, r)
}
