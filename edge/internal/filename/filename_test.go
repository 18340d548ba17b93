package filename_test

import (
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/wxbroker/wxbroker/edge/internal/filename"
)

func TestSafe(t *testing.T) {
	tests := []struct{ name, given, want string }{
		{"as it is", "voice-1.amr", "voice-1.amr"},
		{"Chinese", "发票 2024.pdf", "发票 2024.pdf"},
		{"empty", "", ""},
		{"a path", "/etc/passwd", "passwd"},
		{"up", "../../x.jpg", "x.jpg"},
		{"up, Windows", `..\..\x.jpg`, "x.jpg"},
		{"both", `a/b\c.jpg`, "c.jpg"},
		{"only up", "..", ""},
		{"a directory", "dir/", ""},
		{"hidden", ".bashrc", "bashrc"},
		{"hidden behind spaces", " . .bashrc", "bashrc"},
		{"hidden behind a control character", "\x00.bashrc", "bashrc"},
		{"control characters", "a\r\nb\x00c\x7f.jpg", "abc.jpg"},
		{"right to left", "photo\u202egpj.exe", "photogpj.exe"},
		{"not UTF-8", "a\xff\xfeb.jpg", "ab.jpg"},
		{"dots behind", "a.jpg. .", "a.jpg"},
		{"long", strings.Repeat("a", 300) + ".jpg", strings.Repeat("a", 251) + ".jpg"},
		{"long in Chinese", strings.Repeat("店", 100) + ".jpg", strings.Repeat("店", 83) + ".jpg"},
		{"long by what is no extension", "a." + strings.Repeat("b", 300), "a." + strings.Repeat("b", 253)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := filename.Safe(test.given); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

func FuzzSafe(f *testing.F) {
	for _, seed := range []string{"a.jpg", "../x", `..\x`, ".x", "\x00", strings.Repeat("店", 100), "a/..", "...", "\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, given string) {
		got := filename.Safe(given)
		switch {
		case got == "":
		case got != filepath.Base(got), !filepath.IsLocal(got), strings.ContainsAny(got, "/\\\x00"), strings.HasPrefix(got, "."), len(got) > 255,
			!utf8.ValidString(got), strings.ContainsFunc(got, unicode.IsControl), filename.Safe(got) != got:
			t.Errorf("%q becomes %q", given, got)
		}
	})
}
