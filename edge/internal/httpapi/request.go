package httpapi

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/wxbroker/wxbroker/pkg/jsapi"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

const (
	// maxBody bounds a request's body, in bytes.
	maxBody = 64 << 10
	// maxList bounds a list of API or tag names.
	maxList = 200
)

// parameters are what a request asks for.
type parameters struct {
	url       string
	hasURL    bool
	appid     string
	noncestr  string // "" for a fresh one
	timestamp *int64 // nil for the present second
	debug     bool
	// The lists are nil where the request has none.
	jsAPIList, openTagList []string
}

// raw are a request's parameters before they are understood: every value of
// every name that is ours, from query and body.
type raw map[string][]string

// names are the parameters that mean something to a path, and where each may
// stand. A name that means nothing there is not among them, or it would hide
// that a url was not escaped.
type names map[string]place

type place int

const (
	anywhere place = iota + 1
	inBody         // a secret: query strings end up in logs
)

// pageNames are what a page asks with.
var pageNames = names{
	"url": anywhere, "appid": anywhere, "noncestr": anywhere, "timestamp": anywhere,
	"debug": anywhere, "jsApiList": anywhere, "openTagList": anywhere,
}

// readParameters reads what a page asks for.
func readParameters(r *http.Request) (parameters, error) {
	given, err := read(r, pageNames)
	if err != nil {
		return parameters{}, err
	}
	return given.understand()
}

// read reads query and body. A parameter may be in either, not in both.
func read(r *http.Request, ours names) (raw, error) {
	given := raw{}
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

// addBody reads the body as what its content type says it is.
func (given raw) addBody(r *http.Request, ours names) error {
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

// addForm reads a query or a form. Parameters that are not ours mean nothing
// (a cache buster, say), unless they follow a url that was not escaped: then
// they are most likely that URL's own, and what is left of it is only half.
func (given raw) addForm(form string, ours names) error {
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

// understand checks every parameter.
func (given raw) understand() (parameters, error) {
	var p parameters
	var err error
	if values := given["url"]; values != nil {
		p.url, p.hasURL = values[0], true
	}
	if p.appid, err = given.appid(); err != nil {
		return parameters{}, err
	}
	if values := given["noncestr"]; values != nil {
		if err := jsapi.CheckNonce(values[0]); err != nil {
			return parameters{}, refuse(http.StatusBadRequest, "%v", err)
		}
		p.noncestr = values[0]
	}
	if values := given["timestamp"]; values != nil {
		timestamp, err := jsapi.ParseTimestamp(values[0])
		if err != nil {
			return parameters{}, refuse(http.StatusBadRequest, "%v", err)
		}
		p.timestamp = &timestamp
	}
	if values := given["debug"]; values != nil {
		switch values[0] {
		case "true", "1":
			p.debug = true
		case "false", "0", "":
		default:
			return parameters{}, refuse(http.StatusBadRequest, "debug is neither true nor false")
		}
	}
	if p.jsAPIList, err = given.list("jsApiList"); err != nil {
		return parameters{}, err
	}
	p.openTagList, err = given.list("openTagList")
	return p, err
}

// one returns the value of a parameter that may be given once.
func (given raw) one(name string) string {
	if values := given[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// appid returns the account that is named, "" if none is.
func (given raw) appid() (string, error) {
	values := given["appid"]
	if len(values) == 0 || values[0] == "" {
		return "", nil
	}
	if !wxapi.CanBeAppID(values[0]) {
		return "", refuse(http.StatusBadRequest, "appid is not one such as wx0123456789abcdef")
	}
	return values[0], nil
}

// apiName is the form of the names of JS-SDK APIs and open tags.
var apiName = regexp.MustCompile(`^[A-Za-z0-9:_-]{1,64}$`)

// list reads a list: given several times, or separated by commas, or both, or
// in a query as the text of a JSON list.
func (given raw) list(name string) ([]string, error) {
	if given[name] == nil {
		return nil, nil
	}
	list := []string{}
	for _, value := range given[name] {
		var items []string
		if json.Unmarshal([]byte(value), &items) != nil {
			items = strings.Split(value, ",")
		}
		for _, item := range items {
			if item = strings.TrimSpace(item); item == "" {
				continue
			}
			if !apiName.MatchString(item) {
				return nil, refuse(http.StatusBadRequest, "%s holds something that is not a name", name)
			}
			list = append(list, item)
		}
	}
	if len(list) > maxList {
		return nil, refuse(http.StatusBadRequest, "%s has more than %d names", name, maxList)
	}
	return list, nil
}

// page returns the page to be signed. Its URL comes from the page itself. Only
// a request that the browser vouches to be from this very origin may leave it
// out: its Referer is then the page's address.
func (p parameters) page(r *http.Request) (jsapi.PageURL, error) {
	address := p.url
	if !p.hasURL {
		address = r.Referer()
		switch {
		case r.Header.Get("Sec-Fetch-Site") != "same-origin":
			return jsapi.PageURL{}, refuse(http.StatusBadRequest, "url is missing: send url=encodeURIComponent(location.href.split('#')[0])")
		case address == "":
			return jsapi.PageURL{}, refuse(http.StatusBadRequest, "url is missing, and so is a Referer to take it from")
		}
	}
	page, err := jsapi.ParseURL(address)
	if err != nil {
		return jsapi.PageURL{}, refuse(http.StatusBadRequest, "%v", err)
	}
	return page, nil
}

// printable shortens and cleans what the caller sent, to say it back.
func printable(s string) string {
	if len(s) > 32 {
		s = s[:32] + "…"
	}
	return strings.ToValidUTF8(s, "?")
}
