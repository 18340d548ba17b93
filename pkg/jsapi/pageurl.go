package jsapi

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxURLLen bounds the URL of a page, in bytes, fragment included.
const MaxURLLen = 8 << 10

// PageURL is a URL that may be signed: see [ParseURL].
type PageURL struct {
	signed string // as given, without the fragment
	host   string // as written: any case, brackets kept, no port
	port   string // as written, "" where there is none
}

// ParseURL returns raw as a PageURL if a browser can have it as a page's address:
// absolute, http or https, with a host, at most [MaxURLLen] bytes of UTF-8. It refuses
// what could mean one host to us and another to a browser: user information,
// backslashes, control characters, escapes or spaces in the host, spaces. It drops the
// fragment and changes nothing else.
func ParseURL(raw string) (PageURL, error) {
	if raw == "" {
		return PageURL{}, errors.New("url is missing")
	}
	if len(raw) > MaxURLLen {
		return PageURL{}, fmt.Errorf("url has %d bytes: at most %d are allowed", len(raw), MaxURLLen)
	}
	if err := checkCharacters(raw); err != nil {
		return PageURL{}, err
	}
	signed, _, _ := strings.Cut(raw, "#")
	return parse(signed)
}

// parse is ParseURL for a text whose characters are checked and whose fragment is gone.
func parse(signed string) (PageURL, error) {
	rest, ok := cutScheme(signed)
	if !ok {
		return PageURL{}, errors.New("url must be absolute and start with http:// or https://")
	}
	authority := rest
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		authority = rest[:i]
	}
	if strings.Contains(authority, "@") {
		return PageURL{}, errors.New("url has user information (…@) before its host")
	}
	host, port, err := splitAuthority(authority)
	if err != nil {
		return PageURL{}, err
	}
	return PageURL{signed: signed, host: host, port: port}, nil
}

// String returns the URL that is signed: as given, without its fragment.
func (u PageURL) String() string { return u.signed }

// Host returns the host as written, in any case, without the port; an IPv6
// address keeps its brackets.
func (u PageURL) Host() string { return u.host }

// Port returns the port as written, or "" where the URL has none.
func (u PageURL) Port() string { return u.port }

// EffectivePort returns the port that a browser connects to: the one written,
// or the scheme's own.
func (u PageURL) EffectivePort() string {
	switch {
	case u.port != "":
		return u.port
	case strings.EqualFold(u.signed[:len("https")], "https"):
		return "443"
	default:
		return "80"
	}
}

func checkCharacters(raw string) error {
	ascii := true
	for i := range len(raw) {
		switch c := raw[i]; {
		case c == ' ':
			return errors.New("url has a space, which a page's address never has: escape the address with encodeURIComponent before sending it")
		case c == '\\':
			return errors.New("url has a backslash")
		case c < ' ' || c == 0x7f:
			return errors.New("url has a control character")
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	if ascii {
		return nil
	}
	if !utf8.ValidString(raw) {
		return errors.New("url is not valid UTF-8")
	}
	if strings.ContainsFunc(raw, unicode.IsControl) {
		return errors.New("url has a control character")
	}
	return nil
}

func cutScheme(url string) (rest string, ok bool) {
	for _, scheme := range []string{"https://", "http://"} {
		if len(url) >= len(scheme) && strings.EqualFold(url[:len(scheme)], scheme) {
			return url[len(scheme):], true
		}
	}
	return "", false
}

func splitAuthority(authority string) (host, port string, err error) {
	host = authority
	end := 0 // of a bracketed address, whose colons start no port
	if strings.HasPrefix(authority, "[") {
		if end = strings.IndexByte(authority, ']') + 1; end == 0 {
			return "", "", errors.New("url has a host with an open bracket")
		}
	}
	if i := strings.IndexByte(authority[end:], ':'); i >= 0 {
		host, port = authority[:end+i], authority[end+i+1:]
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || !isDigits(port) {
			return "", "", errors.New("url has a port that is not a number from 1 to 65535")
		}
	}
	if end > 0 {
		// netip takes a zone too, which no URL of a page has.
		ip, err := netip.ParseAddr(authority[1 : end-1])
		if host != authority[:end] || err != nil || !ip.Is6() || ip.Zone() != "" {
			return "", "", errors.New("url has a malformed IPv6 host")
		}
		return host, port, nil
	}
	if host == "" {
		return "", "", errors.New("url has no host")
	}
	// The code points that the URL Standard forbids in a host and that are not
	// excluded above: https://url.spec.whatwg.org/#forbidden-domain-code-point
	if strings.ContainsAny(host, " %<>[]^|") {
		return "", "", errors.New("url has a host with a character that no host can have")
	}
	return host, port, nil
}

func isDigits(s string) bool { return strings.Trim(s, "0123456789") == "" }
