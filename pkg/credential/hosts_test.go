package credential_test

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/idna"

	"github.com/wxbroker/wxbroker/pkg/credential"
)

func rulesOf(t testing.TB, list ...string) credential.HostRules {
	t.Helper()
	rules, err := credential.ParseHostRules(list)
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

func TestHostRulesNames(t *testing.T) {
	tests := []struct {
		name, rule, host, port string
		want                   bool
	}{
		{"exact", "shop.example.com", "shop.example.com", "", true},
		{"another host", "shop.example.com", "pay.example.com", "", false},
		{"exact is not what is below", "shop.example.com", "a.shop.example.com", "", false},
		{"exact is not what ends alike", "shop.example.com", "evilshop.example.com", "", false},
		{"exact is not what begins alike", "shop.example.com", "shop.example.com.evil.example", "", false},
		{"case of the host", "shop.example.com", "Shop.EXAMPLE.com", "", true},
		{"case of the rule", "Shop.EXAMPLE.com", "shop.example.com", "", true},
		{"underscore", "my_shop.example.com", "my_shop.example.com", "", true},
		{"underscore beside Unicode", "*.例子.测试", "my_shop.例子.测试", "", true},
		{"trailing dot is another origin", "shop.example.com", "shop.example.com.", "", false},

		{"wildcard", "*.example.com", "shop.example.com", "", true},
		{"wildcard, deeper", "*.example.com", "a.b.c.example.com", "", true},
		{"wildcard, not the apex", "*.example.com", "example.com", "", false},
		{"wildcard, not a bare dot before the apex", "*.example.com", ".example.com", "", false},
		{"wildcard, not what ends alike", "*.example.com", "evilexample.com", "", false},
		{"wildcard, not what begins alike", "*.example.com", "a.example.com.evil.example", "", false},
		{"wildcard, case", "*.Example.COM", "SHOP.example.com", "", true},

		{"no port in the rule: any", "shop.example.com", "shop.example.com", "8443", true},
		{"port", "shop.example.com:8443", "shop.example.com", "8443", true},
		{"another port", "shop.example.com:8443", "shop.example.com", "443", false},
		{"port wanted, none there", "shop.example.com:8443", "shop.example.com", "", false},
		{"wildcard with port", "*.example.com:8443", "a.example.com", "8443", true},
		{"wildcard with another port", "*.example.com:8443", "a.example.com", "", false},

		{"rule in Unicode, host in punycode", "例子.测试", "xn--fsqu00a.xn--0zwm56d", "", true},
		{"rule in punycode, host in Unicode", "xn--fsqu00a.xn--0zwm56d", "例子.测试", "", true},
		{"both in Unicode", "*.例子.测试", "店.例子.测试", "", true},
		{"punycode in capitals", "例子.测试", "XN--FSQU00A.XN--0ZWM56D", "", true},
		{"umlaut in capitals", "bücher.example", "BÜCHER.example", "", true},
		{"sharp s is a letter of its own", "straße.example", "strasse.example", "", false},
		{"full-width host", "shop.example.com", "ｓｈｏｐ.example.com", "", true},
		{"full-width slash hides a host", "*.example.com", "evil.example／.example.com", "", false},
		{"full-width question mark hides a host", "*.example.com", "evil.example？.example.com", "", false},

		{"IPv4", "127.0.0.1", "127.0.0.1", "7610", true},
		{"IPv6", "[::1]", "[::1]", "", true},
		{"IPv6 with port", "[::1]:8443", "[::1]", "8443", true},
		{"IPv6 with another port", "[::1]:8443", "[::1]", "", false},
		{"IPv6 in another form", "[2001:DB8:0::1]", "[2001:db8::0:1]", "", true},
		{"another IPv6", "[2001:db8::1]", "[2001:db8::2]", "", false},

		{"no host", "shop.example.com", "", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rules := rulesOf(t, "first.example.net", tt.rule)
			if got := rules.Names(tt.host, tt.port); got != tt.want {
				t.Errorf("%q names %q port %q: %v, want %v", tt.rule, tt.host, tt.port, got, tt.want)
			}
			if got := rules.Allow(tt.host, tt.port); got != tt.want {
				t.Errorf("%q allows %q port %q: %v, want %v", tt.rule, tt.host, tt.port, got, tt.want)
			}
		})
	}
}

func TestNoHostRulesAllowAnyHostAndNameNone(t *testing.T) {
	var none credential.HostRules
	if !none.Allow("any.example", "") {
		t.Error("a host is refused though there are no rules")
	}
	if none.Names("any.example", "") {
		t.Error("a host is named though there are no rules")
	}
}

func TestParseHostRuleRefuses(t *testing.T) {
	for _, tt := range []struct{ name, rule string }{
		{"nothing", ""},
		{"any host", "*"},
		{"wildcard of nothing", "*."},
		{"wildcard of a top", "*..example.com"},
		{"wildcard of what maps to nothing", "*.\u00ad"},
		{"wildcard inside", "shop.*.example.com"},
		{"wildcard twice", "*.*.example.com"},
		{"wildcard without a dot", "*example.com"},
		{"wildcard of an address", "*.[::1]"},
		{"leading dot", ".example.com"},
		{"two dots", "shop..example.com"},
		{"scheme", "https://shop.example.com"},
		{"path", "shop.example.com/cart"},
		{"query", "shop.example.com?a=b"},
		{"fragment", "shop.example.com#a"},
		{"user", "me@shop.example.com"},
		{"space", "shop.example.com pay.example.com"},
		{"comma", "shop.example.com,pay.example.com"},
		{"backslash", `shop.example.com\a`},
		{"control character", "shop.example.com\n"},
		{"escape", "shop%2eexample.com"},
		{"full-width slash", "shop.example.com／cart"},
		{"not UTF-8", "shop.\xff.example.com"},
		{"empty port", "shop.example.com:"},
		{"port 0", "shop.example.com:0"},
		{"port too high", "shop.example.com:65536"},
		{"port with a sign", "shop.example.com:+80"},
		{"port in words", "shop.example.com:https"},
		{"any port", "shop.example.com:*"},
		{"only a port", ":8443"},
		{"IPv6 without brackets", "::1"},
		{"longer IPv6 without brackets", "2001:db8::1"},
		{"open bracket", "[::1"},
		{"text in brackets", "[shop.example.com]"},
		{"IPv4 in brackets", "[127.0.0.1]"},
		{"zone", "[fe80::1%eth0]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if rule, err := credential.ParseHostRule(tt.rule); err == nil {
				t.Errorf("%q was read as %q", tt.rule, rule)
			}
			if _, err := credential.ParseHostRules([]string{"shop.example.com", tt.rule}); err == nil {
				t.Errorf("%q was read in a list", tt.rule)
			}
		})
	}
}

func TestHostRulesAsStrings(t *testing.T) {
	rules := rulesOf(t, "Shop.Example.COM", "*.例子.测试:0443", "[::0:1]:8443")
	want := []string{"shop.example.com", "*.xn--fsqu00a.xn--0zwm56d:443", "[::1]:8443"}
	if got := rules.Strings(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestHostAsCompared(t *testing.T) {
	plain, withPort := rulesOf(t, "a.example", "*.b.example"), rulesOf(t, "a.example", "*.b.example:8443")
	tests := []struct {
		name  string
		rules credential.HostRules
		host  string
		want  string
	}{
		{"as it is", plain, "shop.example.com", "shop.example.com"},
		{"capitals", plain, "Shop.Example.COM", "shop.example.com"},
		{"Unicode", plain, "商店.example", "xn--czrs0t.example"},
		{"IPv6", plain, "[2001:DB8:0::1]", "[2001:db8::1]"},
		{"no rules", nil, "Shop.example", "shop.example"},
		{"a rule with a port", withPort, "Shop.example", "shop.example:443"},
		{"IPv6 and a rule with a port", withPort, "[::1]", "[::1]:443"},
		{"what is no host", withPort, "A..b", "A..b:443"},
		{"what has no end", plain, strings.Repeat("a", 1000), strings.Repeat("a", 255) + "…"},
		{"what has no end and is no host", plain, "a" + strings.Repeat("店", 100) + "..", "a" + strings.Repeat("店", 84) + "…"},
		{"what is not UTF-8", plain, "a\xffb", "a\xffb"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := test.rules.Compared(test.host, "443"); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// FuzzHostRuleNamesNothingElse looks for a host that a rule names although the host is
// neither the rule's own nor below it. It compares labels in Unicode, which is another
// way than that of the code it judges.
func FuzzHostRuleNamesNothingElse(f *testing.F) {
	for _, seed := range [][3]string{
		{"shop.example.com", "shop.example.com", ""},
		{"*.example.com:8443", "a.b.example.com", "8443"},
		{"*.example.com", "example.com", ""},
		{"*.\u00ad", "evil.example.", ""},
		{"*.例子.测试", "店.XN--FSQU00A.xn--0zwm56d", ""},
		{"[::1]:80", "[0::1]", "80"},
		{"*.example.com", "evil／.example.com", ""},
		{"*.example.com", "evil。example。com", ""},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, written, host, port string) {
		rule, err := credential.ParseHostRule(written)
		if err != nil {
			return
		}
		normal := rule.String()
		again, err := credential.ParseHostRule(normal)
		if err != nil || again != rule {
			t.Fatalf("%q is written as %q, which is read as %q, %v", written, normal, again, err)
		}
		if !(credential.HostRules{rule}).Names(host, port) || strings.HasPrefix(normal, "[") {
			return
		}
		below := strings.HasPrefix(normal, "*.")
		want, wantPort, _ := strings.Cut(strings.TrimPrefix(normal, "*."), ":")
		if wantPort != "" && wantPort != port {
			t.Fatalf("%q names port %q", written, port)
		}
		labels, wanted := labelsOf(host), labelsOf(want)
		if slices.Contains(labels[:len(labels)-1], "") {
			t.Fatalf("%q names %q, which has an empty label", written, host)
		}
		if below {
			if len(labels) <= len(wanted) {
				t.Fatalf("%q names %q, which is not below it", written, host)
			}
			labels = labels[len(labels)-len(wanted):]
		}
		if !slices.Equal(labels, wanted) {
			t.Fatalf("%q names %q", written, host)
		}
	})
}

// labelsOf returns the labels of a host in Unicode and lower case.
func labelsOf(host string) []string {
	profile := idna.New(idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(false))
	readable, _ := profile.ToUnicode(host) // a host that cannot be mapped is compared as it is
	return strings.Split(strings.ToLower(readable), ".")
}
