package wechatapi

import (
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

// query is that of a call, and what in it is not for WeChat, or tells who calls.
type query struct {
	raw                  string
	token, secret, appid string
	refreshes            bool // has a refresh_token
}

// readQuery reads the query of a call. Names are compared as generously as
// anybody might read them: what is let through as another name must not be
// taken for an access_token further on.
func readQuery(raw string, keepToken bool) (query, error) {
	var q query
	var kept []string
	for part := range strings.SplitSeq(raw, "&") {
		rawName, rawValue, _ := strings.Cut(part, "=")
		name, nameErr := url.QueryUnescape(rawName)
		value, valueErr := url.QueryUnescape(rawValue)
		if nameErr != nil || valueErr != nil || !utf8.ValidString(part) {
			return query{}, wxapi.InvalidParameter.Say("the query has a broken escape or is not UTF-8")
		}
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "access_token":
			first(&q.token, value)
			if !keepToken {
				continue
			}
		case "secret":
			first(&q.secret, value)
			continue
		case "appid":
			first(&q.appid, value)
		case "refresh_token":
			q.refreshes = true
		}
		kept = append(kept, part)
	}
	q.raw = strings.Join(kept, "&")
	return q, nil
}

func first(of *string, value string) {
	if *of == "" {
		*of = value
	}
}
