package credential

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// HostRules are the hosts whose pages may be signed. None means any host.
type HostRules []HostRule

// HostRule is one host: `shop.example.com` is that host alone,
// `*.example.com` any host below example.com at any depth but not example.com
// itself. Without a port it stands for every port.
type HostRule struct {
	host     string // normalised; for a wildcard the part after "*", with its dot
	port     string
	wildcard bool
}

// ParseHostRule reads a rule in the form above, in any case, in Unicode or
// punycode.
func ParseHostRule(s string) (HostRule, error) {
	var rule HostRule
	rest := s
	if rest, rule.wildcard = strings.CutPrefix(rest, "*."); rule.wildcard && strings.Contains(rest, "*") {
		return HostRule{}, fmt.Errorf("%q: only a leading *. is a wildcard", s)
	}
	if rest == "" || rest[0] == ':' || strings.ContainsAny(rest, "/?#@* \\") {
		return HostRule{}, fmt.Errorf("%q is not a host: write shop.example.com or *.example.com, with no scheme and no path", s)
	}
	if i := strings.LastIndexByte(rest, ':'); i >= 0 && !strings.HasSuffix(rest, "]") {
		port, err := strconv.ParseUint(rest[i+1:], 10, 16)
		if err != nil || port == 0 {
			return HostRule{}, fmt.Errorf("%q: the port is not a number from 1 to 65535", s)
		}
		rest, rule.port = rest[:i], strconv.FormatUint(port, 10)
	}
	host, err := normalHost(rest)
	if err != nil {
		return HostRule{}, fmt.Errorf("%q is not a host: %w", s, err)
	}
	if rule.host = host; rule.wildcard {
		if host[0] == '[' {
			return HostRule{}, fmt.Errorf("%q: nothing is below an address", s)
		}
		rule.host = "." + host
	}
	return rule, nil
}

// String returns the rule as ParseHostRule reads it, normalised.
func (r HostRule) String() string {
	s := r.host
	if r.wildcard {
		s = "*" + s
	}
	if r.port != "" {
		s += ":" + r.port
	}
	return s
}

// Names reports whether a rule names host. Without any rules no host is named. The
// port is the one that a browser connects to, so 443 for https://host/.
func (rules HostRules) Names(host, port string) bool {
	host, err := normalHost(host)
	if err != nil {
		return false
	}
	for _, r := range rules {
		if r.names(host, port) {
			return true
		}
	}
	return false
}

// Allow reports whether pages of host may be signed: there are no rules, or
// one of them names it.
func (rules HostRules) Allow(host, port string) bool {
	return len(rules) == 0 || rules.Names(host, port)
}

// maxShown bounds a host that is shown, in bytes: no name in the DNS is longer.
const maxShown = 255

// Compared returns a host in the form in which the rules are compared with it: in
// lower case and punycode, and with the port if any rule has one. It is shown to a
// person who wonders why no rule names the host.
func (rules HostRules) Compared(host, port string) string {
	if normal, err := normalHost(host); err == nil {
		host = normal
	}
	if len(host) > maxShown {
		host = strings.ToValidUTF8(host[:maxShown], "") + "…"
	}
	if slices.ContainsFunc(rules, func(r HostRule) bool { return r.port != "" }) {
		host += ":" + port
	}
	return host
}

// Strings returns each rule as ParseHostRule reads it.
func (rules HostRules) Strings() []string {
	var s []string
	for _, r := range rules {
		s = append(s, r.String())
	}
	return s
}

// ParseHostRules reads one rule from each of list.
func ParseHostRules(list []string) (HostRules, error) {
	var rules HostRules
	for _, s := range list {
		rule, err := ParseHostRule(s)
		if err != nil {
			return nil, err
		}
		rules = append(rules, rule)
	}
	return rules, nil
}

func (r HostRule) names(host, port string) bool {
	if r.port != "" && r.port != port {
		return false
	}
	if r.wildcard {
		return len(host) > len(r.host) && strings.HasSuffix(host, r.host)
	}
	return host == r.host
}

// hostProfile maps names as browsers do (UTS #46, non-transitional). It also accepts
// what browsers accept, such as an underscore.
var hostProfile = idna.New(idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(false))

// hostCharacters are the characters of a normalised host. Browsers accept a few more,
// which nobody uses and which may mean something elsewhere.
const hostCharacters = "abcdefghijklmnopqrstuvwxyz0123456789-_."

// normalHost returns host in lower case and punycode. An IPv6 address, which has
// brackets, it returns in its shortest form.
func normalHost(host string) (string, error) {
	if strings.HasPrefix(host, "[") {
		ip, err := netip.ParseAddr(strings.TrimSuffix(host[1:], "]"))
		if err != nil || !ip.Is6() || ip.Zone() != "" || !strings.HasSuffix(host, "]") {
			return "", errors.New("malformed IPv6 address")
		}
		return "[" + ip.String() + "]", nil
	}
	mapped, err := asciiHost(host)
	if err != nil {
		return "", fmt.Errorf("converting to punycode: %w", err)
	}
	// The mapped host is checked, not the one that was written: a soft hyphen maps to
	// nothing, a full-width slash to a slash.
	if strings.Trim(mapped, hostCharacters) != "" {
		return "", errors.New("a character that no host has")
	}
	if mapped == "" || mapped[0] == '.' || strings.Contains(mapped, "..") {
		return "", errors.New("nothing between two dots, or before the first")
	}
	return mapped, nil
}

func asciiHost(host string) (string, error) {
	if !utf8.ValidString(host) {
		return "", errors.New("not UTF-8")
	}
	for i := range len(host) {
		if host[i] >= utf8.RuneSelf {
			return hostProfile.ToASCII(host)
		}
	}
	return strings.ToLower(host), nil
}
