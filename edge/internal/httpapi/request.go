package httpapi

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

// maxBody bounds a request's body, in bytes.
const maxBody = 64 << 10

// rawParameters are a request's parameters before they are checked. They have every
// value of every name that is ours, from the query and the body.
type rawParameters map[string][]string

// parameterNames are the parameters that have a meaning at a path, and where each may
// stand. A name without a meaning there must not be among them. A name that is not
// among them shows that it belongs to a url that was not escaped.
type parameterNames map[string]place

// place is where in a request a parameter may stand.
type place int

const (
	anywhere place = iota + 1
	inBody         // a secret: query strings end up in logs
)

// read reads the query and the body. A parameter may be in either, but not in both.
func read(r *http.Request, ours parameterNames) (rawParameters, error) {
	given := rawParameters{}
	if err := given.addForm(r.URL.RawQuery, ours); err != nil {
		return nil, err
	}
	for name := range given {
		if ours[name] == inBody {
			return nil, refuse(http.StatusBadRequest, "%s is in the query string, which ends up in logs: send it in the body", name)
		}
	}
	if r.Method == http.MethodPost {
		if err := given.addBody(r, ours); err != nil {
			return nil, err
		}
	}
	for name, values := range given {
		if len(values) > 1 && name != "jsApiList" && name != "openTagList" {
			return nil, refuse(http.StatusBadRequest, "%s is given %d times", name, len(values))
		}
	}
	return given, nil
}

// addBody reads the body according to its content type.
func (given rawParameters) addBody(r *http.Request, ours parameterNames) error {
	body, err := io.ReadAll(r.Body)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return refuse(http.StatusRequestEntityTooLarge, "the body has more than %d bytes", maxBody)
	case err != nil:
		return refuse(http.StatusBadRequest, "the body did not arrive whole")
	case len(body) == 0:
		return nil
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return refuse(http.StatusUnsupportedMediaType, "the body has no content type: send application/json or application/x-www-form-urlencoded")
	}
	switch kind {
	case "application/json":
		return given.addJSON(body, ours)
	case "application/x-www-form-urlencoded":
		return given.addForm(string(body), ours)
	default:
		return refuse(http.StatusUnsupportedMediaType, "the body is neither application/json nor application/x-www-form-urlencoded")
	}
}

// addForm reads a query or a form. It ignores parameters that are not ours, such as a
// cache buster. But where such a parameter follows a url that was not escaped, it most
// likely belongs to that URL, and the value of url is only half of it. Then addForm
// refuses the request.
func (given rawParameters) addForm(form string, ours parameterNames) error {
	unescaped := false
	for part := range strings.SplitSeq(form, "&") {
		if part == "" && !unescaped {
			continue
		}
		rawName, rawValue, _ := strings.Cut(part, "=")
		name, nameErr := url.QueryUnescape(rawName)
		value, valueErr := url.QueryUnescape(rawValue)
		if nameErr != nil || valueErr != nil {
			return refuse(http.StatusBadRequest, "the query or form has a broken %% escape: use encodeURIComponent")
		}
		known := ours[name] != 0
		if unescaped && !known {
			return refuse(http.StatusBadRequest,
				"url is not escaped, so %q after it would be lost: send url=encodeURIComponent(address)", "&"+printable(name))
		}
		if known {
			given[name] = append(given[name], value)
		}
		if known && name == "url" {
			unescaped = strings.ContainsAny(rawValue, ":/?")
		}
	}
	return nil
}

// value returns the value of a parameter that may be given only once, "" for none.
func (given rawParameters) value(name string) string {
	if values := given[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// appid returns the appid that the request names, "" for none.
func (given rawParameters) appid() (string, error) {
	values := given["appid"]
	if len(values) == 0 || values[0] == "" {
		return "", nil
	}
	if !wxapi.CanBeAppID(values[0]) {
		return "", refuse(http.StatusBadRequest, "appid is not one such as wx0123456789abcdef")
	}
	return values[0], nil
}

// printable shortens and cleans text of the caller's, so that an error can repeat it.
func printable(s string) string {
	if len(s) > 32 {
		s = s[:32] + "…"
	}
	return strings.ToValidUTF8(s, "?")
}
