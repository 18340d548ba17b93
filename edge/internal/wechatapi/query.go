package wechatapi

import (
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

// query is the query of a call, with the parameters that say who calls.
type query struct {
	raw                  string // the query for WeChat, without the caller's secrets
	token, secret, appid string
	refreshes            bool // has a refresh_token
}

// readQuery reads the query of a call. It ignores case and spaces in names, as others
// might. Otherwise WeChat could take a parameter for an access_token that passed here
// under another name.
func readQuery(raw string, keepToken bool) (query, error) {
	var q query
	var kept []string
	for part := range strings.SplitSeq(raw, "&") {
		rawName, rawValue, _ := strings.Cut(part, "=")
		name, nameErr := url.QueryUnescape(rawName)
		value, valueErr := url.QueryUnescape(rawValue)
		if nameErr != nil || valueErr != nil || !utf8.ValidString(part) {
			return query{}, wxapi.InvalidParameter.Refusal("the query has a broken escape or is not UTF-8")
		}
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "access_token":
			setOnce(&q.token, value)
			if !keepToken {
				continue
			}
		case "secret":
			setOnce(&q.secret, value)
			continue
		case "appid":
			setOnce(&q.appid, value)
		case "refresh_token":
			q.refreshes = true
		}
		kept = append(kept, part)
	}
	q.raw = strings.Join(kept, "&")
	return q, nil
}

// setOnce sets a text that is still empty.
func setOnce(of *string, value string) {
	if *of == "" {
		*of = value
	}
}
