package relay

import (
	"errors"
	"net/url"
	"slices"
	"strings"
)

// maxQuery bounds a query, in bytes.
const maxQuery = 16 << 10

// CleanQuery returns a query without the parameters of these names. It recognises a
// name in upper or lower case and with escapes. The rest stays as it was written.
func CleanQuery(raw string, without ...string) (string, error) {
	if len(raw) > maxQuery || strings.ContainsFunc(raw, func(r rune) bool { return r <= ' ' || r == '#' || r == 0x7f }) {
		return "", errors.New("the query is too long, or has a character that no query has")
	}
	var kept []string
	for part := range strings.SplitSeq(raw, "&") {
		name, _, _ := strings.Cut(part, "=")
		decoded, err := url.QueryUnescape(name)
		if err != nil {
			return "", errors.New("the query has a broken % escape")
		}
		// WeChat may ignore spaces and NUL bytes around a name.
		plain := strings.ToLower(strings.TrimSpace(strings.Trim(decoded, "\x00")))
		if part != "" && !slices.Contains(without, plain) {
			kept = append(kept, part)
		}
	}
	return strings.Join(kept, "&"), nil
}
