package httpapi_test

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// browserHost returns the host and port that a browser opens for an address,
// by https://url.spec.whatwg.org, and false for one that is no web page's. It is
// written without a look at the code that it judges. Where the standard fails
// and some browser may not, it goes on.
func browserHost(address string) (host, port string, ok bool) {
	address = strings.TrimFunc(address, func(r rune) bool { return r <= ' ' })
	address = strings.NewReplacer("\t", "", "\n", "", "\r", "").Replace(address)
	scheme, rest, _ := strings.Cut(address, ":")
	switch strings.ToLower(scheme) {
	case "http":
		port = "80"
	case "https":
		port = "443"
	default:
		return "", "", false
	}
	rest = strings.TrimLeft(rest, `/\`) // any number of them, of either kind
	if end := strings.IndexAny(rest, `/\?#`); end >= 0 {
		rest = rest[:end]
	}
	rest = rest[strings.LastIndexByte(rest, '@')+1:]
	written := ""
	if end := strings.IndexByte(rest, ']'); strings.HasPrefix(rest, "[") && end > 0 {
		rest, written = rest[:end+1], strings.TrimPrefix(rest[end+1:], ":")
	} else if colon := strings.IndexByte(rest, ':'); colon >= 0 {
		rest, written = rest[:colon], rest[colon+1:]
	}
	if written != "" {
		n, err := strconv.ParseUint(written, 10, 16)
		if err != nil {
			return "", "", false
		}
		port = strconv.FormatUint(n, 10)
	}
	if strings.HasPrefix(rest, "[") {
		ip, err := netip.ParseAddr(strings.Trim(rest, "[]"))
		return "[" + ip.String() + "]", port, err == nil
	}
	if decoded, err := url.PathUnescape(rest); err == nil { // else the escape stays as it is
		rest = decoded
	}
	mapped, _ := idna.New(idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(false)).ToASCII(strings.ToValidUTF8(rest, "\ufffd"))
	host = strings.ToLower(mapped)
	if ip, isNumber := numericHost(host); isNumber {
		return ip, port, ip != ""
	}
	return host, port, host != "" && !strings.ContainsAny(host, "\x00\t\n\r #/:<>?@[\\]^|%\x7f")
}

// numericHost returns the IPv4 address that a host is which ends in a number,
// "" if it is none.
func numericHost(host string) (ip string, isNumber bool) {
	parts := strings.Split(strings.TrimSuffix(host, "."), ".")
	last := parts[len(parts)-1]
	if _, err := ipv4Number(last); err != nil && strings.Trim(last, "0123456789") != "" || last == "" {
		return "", false
	}
	if len(parts) > 4 {
		return "", true
	}
	var address uint64
	for i, part := range parts {
		n, err := ipv4Number(part)
		if err != nil || i < len(parts)-1 && n > 255 || i == len(parts)-1 && n >= 1<<(8*(5-len(parts))) {
			return "", true
		}
		if i == len(parts)-1 {
			address += n
		} else {
			address += n << (8 * (3 - i))
		}
	}
	return netip.AddrFrom4([4]byte{byte(address >> 24), byte(address >> 16), byte(address >> 8), byte(address)}).String(), true
}

// ipv4Number reads a part of an IPv4 address: decimal, octal after 0, and
// hexadecimal after 0x, after which nothing means 0.
func ipv4Number(part string) (uint64, error) {
	lower := strings.ToLower(part)
	switch {
	case strings.HasPrefix(lower, "0x"):
		if lower == "0x" {
			return 0, nil
		}
		return strconv.ParseUint(lower[2:], 16, 64)
	case len(part) > 1 && part[0] == '0':
		return strconv.ParseUint(part[1:], 8, 64)
	default:
		return strconv.ParseUint(part, 10, 64)
	}
}

// The judge is judged by what browsers do.
func TestBrowserHost(t *testing.T) {
	for address, want := range map[string]string{
		"https://shop.example.com":                  "shop.example.com 443",
		"HTTP://Shop.Example.COM:8080/x":            "shop.example.com 8080",
		"https://shop.example.com:443?x":            "shop.example.com 443",
		"https://shop.example.com:0443/":            "shop.example.com 443",
		"https://shop.example.com:/":                "shop.example.com 443",
		"https://shop.example.com@evil.example/":    "evil.example 443",
		"https://a:b@c@evil.example:1/@x":           "evil.example 1",
		`https://evil.example\@shop.example.com/`:   "evil.example 443",
		`https:\\evil.example\`:                     "evil.example 443",
		"https:evil.example/":                       "evil.example 443",
		"https:////evil.example/":                   "evil.example 443",
		"ht\ttps://ev\nil.example/":                 "evil.example 443",
		"https://evil%2eexample/":                   "evil.example 443",
		"https://ｅｖｉｌ。example/":                     "evil.example 443",
		"https://例子.example/":                       "xn--fsqu00a.example 443",
		"https://shop.example.com./":                "shop.example.com. 443",
		"https://0x7f.1/":                           "127.0.0.1 443",
		"https://017700000001/":                     "127.0.0.1 443",
		"https://192.0.2.1./":                       "192.0.2.1 443",
		"https://[2001:DB8::0:1]:8443/":             "[2001:db8::1] 8443",
		"https://evil.example#@shop.example.com/":   "evil.example 443",
		"https://evil.example?@shop.example.com/":   "evil.example 443",
		"https://shop.example.com%00.evil.example/": "",
		"https://256.256.256.256/":                  "",
		"https://shop.example.com:65536/":           "",
		"ftp://shop.example.com/":                   "",
		"https%3A%2F%2Fevil.example%2F":             "",
		"/cart":                                     "",
		"https:///":                                 "",
	} {
		host, port, ok := browserHost(address)
		got := host + " " + port
		if !ok {
			got = ""
		}
		if got != want || !utf8.ValidString(got) {
			t.Errorf("%s opens %q, want %q", address, got, want)
		}
	}
}
