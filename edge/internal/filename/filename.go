// Package filename makes file names safe that come from elsewhere. Then a file can be
// saved under such a name, or the name can be suggested to somebody who saves it.
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
	// maxExtension bounds the extension that a name keeps when it is cut.
	maxExtension = 32
)

// Safe returns the base name of name. It leaves out what would lead to another
// directory, hide the file or deceive its reader: separators of any system, control
// and invisible characters, dots in front, dots and spaces at the end. The result has
// 255 bytes at most. It is empty if nothing is left.
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

// cut returns the beginning of s, length bytes at most, without half a character.
func cut(s string, length int) string {
	for length > 0 && length < len(s) && !utf8.RuneStart(s[length]) {
		length--
	}
	return s[:min(length, len(s))]
}
