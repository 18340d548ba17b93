// Package localkey reads the local keys. They unlock the paths of the edge's own
// listener that hand out credentials or call WeChat.
package localkey

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Keys are named keys. The zero value has none and matches nothing.
type Keys struct{ keys []key }

type key struct {
	name string
	hash [sha256.Size]byte
}

// onlyName is the name of a key that has no name in its file.
const onlyName = "local"

// maxName bounds a name, in bytes: it is in metrics, logs and the broker's
// audit.
const maxName = 64

// errNone says that a file has no key, only comments and empty lines.
var errNone = errors.New("it holds no key: write one, such as the output of `openssl rand -hex 32`")

// keyLike is what keys look like that `openssl rand` makes. It finds a key that was
// written in the place of its name.
var keyLike = regexp.MustCompile(`^[A-Za-z0-9+/=]{32,}$`)

// parse reads a file's content. Its errors name lines and quote nothing of them: if
// name and key were swapped, the name is a secret.
func parse(raw []byte) (Keys, error) {
	var keys Keys
	lines := bufio.NewScanner(bytes.NewReader(raw))
	for number := 1; lines.Scan(); number++ {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		name := onlyName
		switch len(fields) {
		case 1:
		case 2:
			name = fields[0]
		default:
			return Keys{}, fmt.Errorf("line %d has more than a name and a key", number)
		}
		if len(name) > maxName || !utf8.ValidString(name) || strings.ContainsFunc(name, unprintable) {
			return Keys{}, fmt.Errorf("line %d: the name has more than %d bytes or a character that cannot be printed", number, maxName)
		}
		if keyLike.MatchString(name) && strings.ContainsAny(name, "0123456789") {
			return Keys{}, fmt.Errorf("line %d: the name looks like a key, and would be shown in logs and metrics: write `name key`", number)
		}
		value := fields[len(fields)-1]
		if strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return Keys{}, fmt.Errorf("line %d: the key has a character that no Authorization header carries: use ASCII", number)
		}
		added := key{name, sha256.Sum256([]byte(value))}
		for _, other := range keys.keys {
			switch {
			case other.name == name && len(fields) == 1:
				return Keys{}, fmt.Errorf("line %d: a second key without a name: write `name key`", number)
			case other.name == name:
				return Keys{}, fmt.Errorf("line %d: that name is there already", number)
			case other.hash == added.hash:
				return Keys{}, fmt.Errorf("line %d: that key is there already: whoever presents it could be either of two", number)
			}
		}
		keys.keys = append(keys.keys, added)
	}
	if err := lines.Err(); err != nil {
		return Keys{}, err
	}
	if len(keys.keys) == 0 {
		return Keys{}, errNone
	}
	return keys, nil
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }

// Any reports whether there are keys at all.
func (k Keys) Any() bool { return len(k.keys) > 0 }

// Match returns the name of the key that is presented. The time that Match takes does
// not depend on which key it is or how much of it is right.
func (k Keys) Match(presented string) (name string, ok bool) {
	hash := sha256.Sum256([]byte(presented))
	for _, known := range k.keys {
		if subtle.ConstantTimeCompare(hash[:], known.hash[:]) == 1 {
			name, ok = known.name, true
		}
	}
	return name, ok
}
