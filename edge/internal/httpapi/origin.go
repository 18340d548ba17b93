package httpapi

import (
	"net/http"
	"strings"

	"github.com/rs/cors"

	"github.com/wxbroker/wxbroker/pkg/jsapi"
)

// preflightAge is how long a browser may remember that it was allowed, in
// seconds. Withdrawing a host takes that long to reach the browsers, but an
// answer that it may not read is refused it at once.
const preflightAge = 600

// origins says which pages of other origins may read an answer: those that the
// accounts here sign for by name. Cookies and the like mean nothing here, so
// none are asked for.
func (a *API) origins() *cors.Cors {
	a.once.Do(func() {
		a.policy = cors.New(cors.Options{
			AllowOriginVaryRequestFunc: func(r *http.Request, origin string) (bool, []string) {
				// Were there several, all would be told that they may.
				return len(r.Header["Origin"]) == 1 && a.names(origin), nil
			},
			AllowedMethods:     getOrPost,
			AllowedHeaders:     []string{"Content-Type"},
			ExposedHeaders:     []string{"Retry-After"},
			MaxAge:             preflightAge,
			OptionsPassthrough: true, // preflight answers
		})
	})
	return a.policy
}

// names reports whether an account's sign_hosts name the host of an origin. An
// account that may sign for any host names none.
func (a *API) names(origin string) bool {
	page, err := jsapi.ParseURL(origin)
	if err != nil {
		return false
	}
	host := page.Host()
	if page.Port() != "" {
		host += ":" + page.Port()
	}
	_, rest, _ := strings.Cut(origin, "://")
	return rest == host && a.State.Names(page.Host(), page.EffectivePort())
}

// isPreflight tells a browser's question whether a page may ask from OPTIONS as
// such.
func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != ""
}

// preflight refuses what origins has not allowed.
func preflight(w http.ResponseWriter) error {
	if w.Header().Get("Access-Control-Allow-Origin") == "" {
		return refuse(http.StatusForbidden,
			"a page of this origin may not ask here, or not so: its host has to be in an account's sign_hosts, the method GET or POST, and Content-Type the only header")
	}
	return nil
}
