package config

import "bytes"

// utf8Mark is the byte order mark of UTF-8. Some editors put it first in a file. It
// means nothing.
var utf8Mark = []byte("\ufeff")

// isUTF16 reports whether a text is written in UTF-16, as some editors save a file
// unless they are told otherwise.
func isUTF16(text []byte) bool {
	return bytes.HasPrefix(text, []byte{0xff, 0xfe}) || bytes.HasPrefix(text, []byte{0xfe, 0xff}) || bytes.IndexByte(text, 0) >= 0
}
