package relay

import (
	"errors"
	"net/url"
	"slices"
	"strings"
)

// maxQuery bounds a query, in bytes.
const maxQuery = 16 << 10

// CleanQuery returns a query as it was written but for the parameters of these
// names, however their names are written.
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
		// WeChat may be less strict than we are about what is around a name.
		plain := strings.ToLower(strings.TrimSpace(strings.Trim(decoded, "\x00")))
		if part != "" && !slices.Contains(without, plain) {
			kept = append(kept, part)
		}
	}
	return strings.Join(kept, "&"), nil
}
