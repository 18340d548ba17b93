package wechat

import (
	"errors"
	"net/url"
	"strconv"
	"strings"

	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

// withoutURL returns err's text without the URL that net/http puts into it. The
// URL has the secret in its query.
func withoutURL(err error) string {
	if u, ok := errors.AsType[*url.Error](err); ok {
		if u.Timeout() {
			return "no answer in time"
		}
		err = u.Err
	}
	return strings.TrimPrefix(err.Error(), "net/http: ")
}

// secretForms returns the forms in which an answer can echo secrets: as they are,
// escaped as in a URL, and escaped as in JSON, with and without the escapes for
// HTML.
func secretForms(secrets ...credential.Secret) []string {
	var forms []string
	for _, s := range secrets {
		value := s.Reveal()
		inJSON := strings.Trim(strconv.Quote(value), `"`)
		thorough := strings.NewReplacer("&", `\u0026`, "<", `\u003c`, ">", `\u003e`).Replace(inJSON)
		forms = append(forms, value, url.QueryEscape(value), url.PathEscape(value), inJSON, thorough)
	}
	return forms
}

// quote makes somebody else's words fit for a log line. It removes the secrets of
// the call and control characters, and bounds the length.
func quote(words string, secrets []string) string {
	for _, s := range secrets {
		if s != "" {
			words = strings.ReplaceAll(words, s, "[redacted]")
		}
	}
	return wxapi.Quote(words)
}
