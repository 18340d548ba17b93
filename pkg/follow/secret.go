package follow

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"unicode"
)

// mayBeSecret reports whether a part of a path looks like a secret that a program
// made: long, in the characters of hex or base64, with letters and digits that
// alternate. Somebody may have written a secret where the name of its file belongs.
func mayBeSecret(path string) bool {
	for part := range strings.SplitSeq(path, "/") {
		if len(part) >= 16 && alternations(part) >= 6 && !strings.Contains(part, ".") {
			return true
		}
	}
	return false
}

// alternations returns how often a letter follows a digit, or a digit a letter.
func alternations(text string) int {
	n := 0
	var before rune
	for _, c := range text {
		if unicode.IsDigit(before) && unicode.IsLetter(c) || unicode.IsLetter(before) && unicode.IsDigit(c) {
			n++
		}
		before = c
	}
	return n
}

// hidePath returns an error about a file without the file's name.
func hidePath(err error) error {
	if known, ok := errors.AsType[*fs.PathError](err); ok {
		err = known.Err
	}
	return fmt.Errorf("the file, whose name is not shown since it may be a secret: %w", err)
}
