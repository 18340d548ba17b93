package jsapi

import (
	"iter"
	"strings"
)

// Readings yields every URL whose page could use a signature of u: u itself, and then
// what follows each `&url=` in it, if that is an address of a web page. WeChat signs
// with nothing escaped, and a page may give wx.config any text for its timestamp. So
// https://a/?x&url=https://b/ with the timestamp 1 and https://b/ with the timestamp
// `1&url=https://a/?x` have the same signature. Whoever may sign only for some hosts
// has to check all of these URLs. ok is false for a text that begins like an address
// but that ParseURL would refuse.
func (u PageURL) Readings() iter.Seq2[PageURL, bool] {
	return func(yield func(reading PageURL, ok bool) bool) {
		if !yield(u, true) {
			return
		}
		for _, rest, found := strings.Cut(u.signed, urlKey); found; _, rest, found = strings.Cut(rest, urlKey) {
			if !isWebAddress(rest) {
				continue
			}
			reading, err := parse(rest)
			if !yield(reading, err == nil) {
				return
			}
		}
	}
}

// isWebAddress reports whether a browser would take s for the address of a web page. A
// browser reads https:b as https://b. It does not read an escaped slash as a slash:
// that would be part of the host, and no host has one.
func isWebAddress(s string) bool {
	for _, scheme := range []string{"https:", "http:"} {
		if len(s) >= len(scheme) && strings.EqualFold(s[:len(scheme)], scheme) {
			rest := s[len(scheme):]
			return len(rest) < 3 || !strings.EqualFold(rest[:3], "%2F")
		}
	}
	return false
}
