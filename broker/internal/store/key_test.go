package store

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// aKey has the bytes that the two alphabets of base64 write differently.
var aKey = [keySize]byte(bytes.Repeat([]byte{0xfb, 0xff, 0x3e, 1}, keySize/4))

// written returns a key in each form that a file may have it in.
func written(key [keySize]byte) map[string]string {
	return map[string]string{
		"hex":                         hex.EncodeToString(key[:]),
		"hex in capitals":             strings.ToUpper(hex.EncodeToString(key[:])),
		"base64":                      base64.StdEncoding.EncodeToString(key[:]),
		"base64 without padding":      base64.RawStdEncoding.EncodeToString(key[:]),
		"base64 for URLs":             base64.URLEncoding.EncodeToString(key[:]),
		"base64 for URLs, no padding": base64.RawURLEncoding.EncodeToString(key[:]),
	}
}

func numbered(n byte) (key [keySize]byte) {
	key[0] = n
	return key
}

func TestLoadKeys(t *testing.T) {
	eight := ""
	for n := range byte(maxKeys) {
		eight += hex.EncodeToString(bytes.Repeat([]byte{n + 1}, keySize)) + "\n"
	}
	one, other := written(numbered(1))["base64"], written(numbered(2))["hex"]
	tests := []struct {
		name, content string
		want          int // number of keys; where there are two, the first is numbered(1)
		says          string
	}{
		{"two", one + "\n" + other + "\n", 2, ""},
		{"no line's end", one + "\n" + other, 2, ""},
		{"lines of Windows", one + "\r\n" + other + "\r\n", 2, ""},
		{"comments, empty lines and spaces", "# the current one\n\n  " + one + "\t\n#\n\t\n" + other + " \n# end", 2, ""},
		{"as many as there may be", eight, maxKeys, ""},
		{"one too many", eight + one, 0, "line 9: there are more than 8 keys"},
		{"nothing", "", 0, "the file is empty"},
		{"a comment alone", "# later\n", 0, "no key in it: make one with `openssl rand -base64 32`"},
		{"a key with its name", "wxbroker " + one + "\n", 0, "line 1 is no key of 32 bytes"},
		{"a key behind which there is something", one + " # mine\n", 0, "line 1 is no key of 32 bytes"},
		{"two keys on a line", one + " " + other, 0, "line 1 is no key"},
		{"something else on the third line", one + "\n\nhunter2\n", 0, "line 3 is no key"},
		{"31 bytes in hex", other[2:], 0, "line 1 is no key"},
		{"33 bytes in hex", other + "00", 0, "line 1 is no key"},
		{"31 bytes in base64", base64.StdEncoding.EncodeToString(make([]byte, 31)), 0, "line 1 is no key"},
		{"33 bytes in base64", base64.StdEncoding.EncodeToString(make([]byte, 33)), 0, "line 1 is no key"},
		{"no hex", strings.Replace(other, "0", "g", 1), 0, "line 1 is no key"},
		{"both alphabets of base64", "+_" + one[2:], 0, "line 1 is no key"},
		{"base64 with bits at the end that mean nothing", one[:42] + "B=", 0, "line 1 is no key"},
		{"padding that is too long", one + "=", 0, "line 1 is no key"},
		{"zeros", strings.Repeat("0", 64), 0, "line 1: the key is all zeros"},
		{"zeros in base64", one + "\n" + strings.Repeat("A", 43), 0, "line 2: the key is all zeros"},
		{"the same twice", one + "\n" + other + "\n" + one, 0, "line 3 repeats the key of line 1"},
		{"the same in another form", one + "\n" + written(numbered(1))["hex"], 0, "line 2 repeats the key of line 1"},
		{"a file that is too large", one + "\n#" + strings.Repeat(" ", maxKeyFile), 0, "more than 16384 bytes"},
	}
	for form, text := range written(aKey) {
		tests = append(tests, struct {
			name, content string
			want          int
			says          string
		}{form, text + "\n", 1, ""})
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "keys")
			if err := os.WriteFile(path, []byte(tt.content), 0o600); err != nil {
				t.Fatal(err)
			}
			keys, exposed, err := LoadKeys(t.Context(), path)
			if len(keys.sealers) != tt.want || exposed || (err == nil) != (tt.says == "") {
				t.Fatalf("%d keys, exposed %v, %v", len(keys.sealers), exposed, err)
			}
			if err != nil {
				if !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "hunter2") {
					t.Errorf("error %v, want %q and the path", err, tt.says)
				}
				return
			}
			first := aKey
			if tt.want > 1 {
				first = numbered(1)
			}
			if tt.want == maxKeys {
				first = [keySize]byte(bytes.Repeat([]byte{1}, keySize))
			}
			same, err := newSealer(first)
			if err != nil {
				t.Fatal(err)
			}
			if ok, err := keys.current().recognises(same.check()); !ok || err != nil {
				t.Errorf("the first key is another: %v", err)
			}
		})
	}
}

func TestLoadKeysSaysWhoCanReadThem(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	if _, _, err := LoadKeys(t.Context(), path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a missing file: %v", err)
	}
	if err := os.WriteFile(path, []byte(written(aKey)["hex"]), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, exposed, err := LoadKeys(t.Context(), path); err != nil || !exposed {
		t.Errorf("exposed %v, %v", exposed, err)
	}
}

// TestKeysArePrintedNowhere, also not as a part of something that is printed.
func TestKeysArePrintedNowhere(t *testing.T) {
	s, err := newSealer(aKey)
	if err != nil {
		t.Fatal(err)
	}
	keys := Keys{sealers: []*sealer{s}}
	hidden := struct{ keys Keys }{keys}
	open := struct{ Keys Keys }{keys}
	var printed bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%p"} {
		// For %p of a value that is no pointer fmt calls no method, and prints
		// addresses.
		if got := fmt.Sprintf(verb, keys); got != "[redacted]" && verb != "%p" {
			t.Errorf("%s prints %s", verb, got)
		}
		fmt.Fprintf(&printed, verb+verb+verb+verb, keys, hidden, &hidden, open)
	}
	for _, handler := range []slog.Handler{slog.NewTextHandler(&printed, nil), slog.NewJSONHandler(&printed, nil)} {
		slog.New(handler).Info("keys", "keys", keys, "hidden", hidden, "open", open)
	}
	marshalled, err := json.Marshal([]any{keys, &keys, hidden, open})
	if err != nil {
		t.Fatal(err)
	}
	printed.Write(marshalled)
	decimal := fmt.Sprintf("%d %d %d %d", aKey[0], aKey[1], aKey[2], aKey[3])
	for _, part := range []string{string(aKey[:4]), hex.EncodeToString(aKey[:4]), written(aKey)["base64"][:5], written(aKey)["base64 for URLs"][:5], decimal} {
		if strings.Contains(strings.ToLower(printed.String()), strings.ToLower(part)) {
			t.Errorf("%q is in %s", part, &printed)
		}
	}
}

// FuzzLoadKeys: whatever a file holds, it is either read as the keys that a much
// simpler parser finds, or refused with one of our own errors.
func FuzzLoadKeys(f *testing.F) {
	for _, text := range written(aKey) {
		f.Add([]byte("# comment\n" + text + "\n"))
	}
	f.Add([]byte(written(aKey)["hex"] + "\n" + written(aKey)["base64"]))
	f.Add([]byte(strings.Repeat("0", 64)))
	refusal := regexp.MustCompile("^(line [0-9]+ is no key of 32 bytes, as 64 hex digits or as base64: " + makeOne +
		"|line [0-9]+: the key is all zeros: " + makeOne +
		"|line [0-9]+ repeats the key of line [0-9]+" +
		"|line [0-9]+: there are more than 8 keys: .*" +
		"|there is no key in it: " + makeOne + ")$")
	f.Fuzz(func(t *testing.T, content []byte) {
		keys, err := parseKeys(content)
		if err != nil {
			if keys != nil || !refusal.MatchString(err.Error()) {
				t.Errorf("%d keys, %v", len(keys), err)
			}
			return
		}
		var lines []string
		for line := range strings.SplitSeq(string(content), "\n") {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				lines = append(lines, line)
			}
		}
		if len(keys) != len(lines) || len(keys) > maxKeys {
			t.Fatalf("%d keys in %d lines", len(keys), len(lines))
		}
		for i, key := range keys {
			found := false
			for _, text := range written(key) {
				found = found || text == lines[i] || strings.EqualFold(text, lines[i]) && len(text) == 64
			}
			if !found || key == [keySize]byte{} {
				t.Errorf("line %q was read as %x", lines[i], key)
			}
		}
	})
}
