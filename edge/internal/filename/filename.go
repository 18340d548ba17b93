// Package filename makes a name that comes from elsewhere one that is safe to
// save a file under, or to suggest for that.
package filename

import (
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// maxName is how long a name may be on most file systems, in bytes.
	maxName = 255
	// maxExtension bounds what is kept of a longer name's end.
	maxExtension = 32
)

// Safe returns the base name of name, without what would lead to another
// directory, hide the file or deceive who reads it: separators of any system,
// control and invisible characters, dots in front, dots and spaces behind. It
// has 255 bytes at most. Where nothing is left it is empty.
func Safe(name string) string {
	name = strings.ToValidUTF8(name, "")
	name = name[strings.LastIndexAny(name, `/\`)+1:]
	name = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, name)
	name = strings.TrimLeft(name, ". ")
	if len(name) > maxName {
		extension := path.Ext(name)
		if len(extension) > maxExtension {
			extension = ""
		}
		name = cut(name[:len(name)-len(extension)], maxName-len(extension)) + extension
	}
	return strings.TrimRight(name, ". ")
}

// cut returns the beginning of s that has length bytes at most, in whole
// characters.
func cut(s string, length int) string {
	for length > 0 && length < len(s) && !utf8.RuneStart(s[length]) {
		length--
	}
	return s[:min(length, len(s))]
}
