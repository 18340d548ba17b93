package httpapi

import (
	"net/http"
	"strings"

	"github.com/rs/cors"

	"github.com/wxbroker/wxbroker/pkg/jsapi"
)

// preflightAge is how long a browser may remember the answer to a preflight, in
// seconds. A host that is withdrawn may send requests for that long. But its pages
// cannot read the answers any more from the first moment.
const preflightAge = 600

// origins returns the rules for pages of other origins. A page may read an answer if
// the sign_hosts of an account here name its host. Cookies and other browser
// credentials mean nothing here, so they are not allowed.
func (a *API) origins() *cors.Cors {
	a.once.Do(func() {
		a.policy = cors.New(cors.Options{
			AllowOriginVaryRequestFunc: func(r *http.Request, origin string) (bool, []string) {
				// With several Origin headers, the answer would allow each of them.
				return len(r.Header["Origin"]) == 1 && a.signsFor(origin), nil
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

// signsFor reports whether an account's sign_hosts name the host of an origin. The
// empty sign_hosts of an account that may sign for any host name none.
func (a *API) signsFor(origin string) bool {
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

// isPreflight reports whether a request is a preflight: a browser's question whether a
// page may send a request. Any other OPTIONS is not.
func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != ""
}

// preflight returns an error for a preflight that the rules of origins do not allow.
func preflight(w http.ResponseWriter) error {
	if w.Header().Get("Access-Control-Allow-Origin") == "" {
		return refuse(http.StatusForbidden,
			"a page of this origin may not send this request: its host has to be in an account's sign_hosts, the method has to be GET or POST, and Content-Type the only header")
	}
	return nil
}
