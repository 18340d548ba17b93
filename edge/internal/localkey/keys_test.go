package localkey

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	tests := []struct {
		name, file string
		keys       map[string]string // key to name; nil for a file that is refused
		says       string
	}{
		{"one key", "9d1e", map[string]string{"9d1e": "local"}, ""},
		{"one key and a newline", "9d1e\n", map[string]string{"9d1e": "local"}, ""},
		{"newlines of Windows", "billing 9d1e\r\nreports 77aa\r\n", map[string]string{"9d1e": "billing", "77aa": "reports"}, ""},
		{"one named key", "billing 9d1e\n", map[string]string{"9d1e": "billing"}, ""},
		{"comments, empty lines, indentation", "# who may\n\n  billing\t 9d1e  \n#x y z\n", map[string]string{"9d1e": "billing"}, ""},
		{"a named and an unnamed one", "billing 9d1e\n77aa\n", map[string]string{"9d1e": "billing", "77aa": "local"}, ""},
		{"a key with every character of base64", "aB0+/_-=.~", map[string]string{"aB0+/_-=.~": "local"}, ""},

		{"a name in Chinese", "店铺 9d1e\n", map[string]string{"9d1e": "店铺"}, ""},
		{"a long name with a number", "shop-web-production-eu-west-1-blue 9d1e\n", map[string]string{"9d1e": "shop-web-production-eu-west-1-blue"}, ""},
		{"the longest name", strings.Repeat("n", 64) + " 9d1e\n", map[string]string{"9d1e": strings.Repeat("n", 64)}, ""},

		{"empty", "", nil, "holds no key"},
		{"only a comment", "# 9d1e\n", nil, "holds no key"},
		{"only newlines", "\n\n \n", nil, "holds no key"},
		{"three words", "billing 9d1e 77aa\n", nil, "line 1 has more than a name and a key"},
		{"a trailing comment", "\nbilling 9d1e # the new one\n", nil, "line 2 has more than"},
		{"two without a name", "9d1e\n77aa\n", nil, "line 2: a second key without a name"},
		{"a name twice", "billing 9d1e\n\nbilling 77aa\n", nil, "line 3: that name is there already"},
		{"a key under two names", "billing 9d1e\nreports 9d1e\n", nil, "line 2: that key is there already"},
		{"a name without end", "first a\n" + strings.Repeat("n", 65) + " 9d1e\n", nil, "line 2: the name has more than 64 bytes"},
		{"key and name swapped", strings.Repeat("0f", 16) + " billing\n", nil, "line 1: the name looks like a key"},
		{"key and name swapped, in base64", "aGVsbG8gd29ybGQsIGhlbGxvIHdvcmxkIQ1+/= billing\n", nil, "line 1: the name looks like a key"},
		{"a name that is not UTF-8", "billing\xff 9d1e\n", nil, "line 1: the name has"},
		{"a name that writes to the terminal", "\x1b[2J 9d1e\n", nil, "line 1: the name has"},
		{"a key that no header carries", "schlüssel", nil, "line 1: the key has a character"},
		{"a byte order mark", "\ufeff9d1e\n", nil, "line 1: the key has a character"},
		{"UTF-16", "9\x00d\x001\x00e\x00", nil, "line 1: the key has a character"},
		{"a line without end", strings.Repeat("x", 64<<10), nil, "too long"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			keys, err := parse([]byte(test.file))
			if test.keys == nil {
				if err == nil || !strings.Contains(err.Error(), test.says) || keys.Any() {
					t.Fatalf("error %v, keys %v, want one that says %q", err, keys.Any(), test.says)
				}
				if strings.Contains(err.Error(), "9d1e") || strings.Contains(err.Error(), "77aa") {
					t.Errorf("a key is in the error %q", err)
				}
				return
			}
			if err != nil || !keys.Any() {
				t.Fatalf("error %v, keys %v", err, keys.Any())
			}
			for key, want := range test.keys {
				if name, ok := keys.Match(key); name != want || !ok {
					t.Errorf("%s is %q, %v; want %q", key, name, ok, want)
				}
			}
		})
	}
}

func TestMatch(t *testing.T) {
	keys, err := parse([]byte("billing 9d1e\nreports 77aa\n"))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, presented, matches string }{
		{"the first", "9d1e", "billing"},
		{"the last", "77aa", "reports"},
		{"nothing", "", ""},
		{"a part", "9d1", ""},
		{"more", "9d1e7", ""},
		{"another case", "9D1E", ""},
		{"a name", "billing", ""},
		{"a line", "billing 9d1e", ""},
		{"a space before it", " 9d1e", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if name, ok := keys.Match(test.presented); name != test.matches || ok != (test.matches != "") {
				t.Errorf("%q, %v", name, ok)
			}
		})
	}
	// The zero value has no key at all, not the empty key.
	if name, ok := (Keys{}).Match(""); ok || name != "" || (Keys{}).Any() {
		t.Errorf("no keys match %q, %v", name, ok)
	}
}

// FuzzParse: of a file that is accepted, each key unlocks, and no other word does.
func FuzzParse(f *testing.F) {
	for _, file := range []string{
		"", "k", "k\n", "a k\nb l\n", "# k\na k", "a k\r\n", "a b c", "k\nl", "a k\na l", "a k\nb k", "\ufeffk", "k\x00", "ü", "a\u00a0k", "#", "a #",
	} {
		f.Add([]byte(file))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		keys, err := parse(file)
		if err != nil {
			if keys.Any() || len(err.Error()) > 200 {
				t.Errorf("keys %v with the error %v", keys.Any(), err)
			}
			return
		}
		held := make(map[string]bool)
		for line := range strings.Lines(string(file)) {
			words := strings.Fields(line)
			if len(words) == 0 || words[0][0] == '#' {
				continue
			}
			key := words[len(words)-1]
			held[key] = true
			want := "local"
			if len(words) == 2 {
				want = words[0]
			}
			if name, ok := keys.Match(key); !ok || name != want {
				t.Errorf("the key of %q is %q, %v", line, name, ok)
			}
		}
		for _, other := range append(strings.Fields(string(file)), "", string(file)) {
			if _, ok := keys.Match(other); ok != held[other] {
				t.Errorf("%q unlocks: %v", other, ok)
			}
		}
		if len(held) == 0 {
			t.Error("a file without a key is taken")
		}
	})
}
