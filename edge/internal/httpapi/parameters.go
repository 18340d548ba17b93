package httpapi

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"

	"github.com/wxbroker/wxbroker/pkg/jsapi"
)

// maxList bounds a list of API or tag names.
const maxList = 200

// parameters are a request's parameters after their checks.
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

// pageNames are the parameters that a page may send.
var pageNames = parameterNames{
	"url": anywhere, "appid": anywhere, "noncestr": anywhere, "timestamp": anywhere,
	"debug": anywhere, "jsApiList": anywhere, "openTagList": anywhere,
}

// readParameters reads and checks the parameters of a page's request.
func readParameters(r *http.Request) (parameters, error) {
	given, err := read(r, pageNames)
	if err != nil {
		return parameters{}, err
	}
	return given.parse()
}

// parse checks every parameter.
func (given rawParameters) parse() (parameters, error) {
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

// apiName is the form of the names of JS-SDK APIs and open tags.
var apiName = regexp.MustCompile(`^[A-Za-z0-9:_-]{1,64}$`)

// list reads a list. The request may repeat the parameter, separate the items by
// commas, do both, or send a JSON list as text.
func (given rawParameters) list(name string) ([]string, error) {
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

// page returns the page to be signed. Its URL comes from the page itself. Only a
// request may leave it out of which the browser says that it comes from the edge's own
// origin. Its Referer is then the page's address.
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
