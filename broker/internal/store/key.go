package store

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"

	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/follow"
)

const (
	keySize    = 32       // bytes, for AES-256
	maxKeys    = 8        // one to write with; the others are being retired
	maxKeyFile = 16 << 10 // bytes: eight keys, and room for comments
	makeOne    = "make one with `openssl rand -base64 32`"
)

// Keys seal a database: values are written with the first key and read with any
// of them. The zero value has no key and leaves the database unsealed. Keys
// print redacted, whatever prints them.
type Keys struct {
	_ [0]func() // makes == a compile error: it would compare where keys are
	// Pointers, because fmt calls no method of an unexported field: it prints the
	// field as it is, and follows no pointer.
	sealers []*sealer
}

// LoadKeys reads a file with a key on each line, 32 bytes as 64 hex digits or
// as base64. Empty lines and lines that begin with # are skipped. The first key
// is the current one. The others are older: each only reads what it sealed.
// LoadKeys also reports whether every user of the machine can read the file. No
// error quotes what is in the file.
func LoadKeys(ctx context.Context, path string) (keys Keys, exposed bool, err error) {
	file, err := follow.Read(ctx, path, maxKeyFile)
	if err != nil {
		return Keys{}, false, fmt.Errorf("reading the encryption keys: %w", err)
	}
	parsed, err := parseKeys(file.Bytes)
	if err != nil {
		return Keys{}, false, fmt.Errorf("reading the encryption keys: %s: %w", path, err)
	}
	for _, key := range parsed {
		s, err := newSealer(key)
		if err != nil {
			return Keys{}, false, fmt.Errorf("using the encryption keys of %s: %w", path, err)
		}
		keys.sealers = append(keys.sealers, s)
	}
	return keys, file.Exposed, nil
}

func parseKeys(content []byte) (keys [][keySize]byte, err error) {
	lines := make(map[[keySize]byte]int) // where each key stands
	number := 0
	for line := range bytes.Lines(content) {
		number++
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		key, ok := parseKey(line)
		switch {
		case !ok:
			return nil, fmt.Errorf("line %d is no key of 32 bytes, as 64 hex digits or as base64: %s", number, makeOne)
		case key == [keySize]byte{}:
			return nil, fmt.Errorf("line %d: the key is all zeros: %s", number, makeOne)
		case lines[key] != 0:
			return nil, fmt.Errorf("line %d repeats the key of line %d", number, lines[key])
		case len(keys) == maxKeys:
			return nil, fmt.Errorf("line %d: there are more than %d keys: remove the last ones, which nothing is sealed with any more", number, maxKeys)
		}
		lines[key] = number
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, errors.New("there is no key in it: " + makeOne)
	}
	return keys, nil
}

// parseKey reads 32 bytes in the forms that openssl, Kubernetes and the like
// write.
func parseKey(text []byte) (key [keySize]byte, ok bool) {
	if len(text) == hex.EncodedLen(keySize) {
		_, err := hex.Decode(key[:], text)
		return key, err == nil
	}
	encoding := base64.RawStdEncoding
	if bytes.ContainsAny(text, "-_") {
		encoding = base64.RawURLEncoding
	}
	text, _ = bytes.CutSuffix(text, []byte("="))
	if len(text) != encoding.EncodedLen(keySize) {
		return key, false
	}
	decoded, err := encoding.Strict().AppendDecode(nil, text)
	if err != nil || len(decoded) != keySize {
		return key, false
	}
	return [keySize]byte(decoded), true
}

// current returns the sealer for new values, nil for an unsealed database.
func (k Keys) current() *sealer {
	if len(k.sealers) == 0 {
		return nil
	}
	return k.sealers[0]
}

// String returns [credential.Redacted].
func (Keys) String() string { return credential.Redacted }

// Format prints [credential.Redacted], whatever the verb.
func (Keys) Format(f fmt.State, _ rune) { fmt.Fprint(f, credential.Redacted) }

// LogValue logs [credential.Redacted].
func (Keys) LogValue() slog.Value { return slog.StringValue(credential.Redacted) }

// MarshalText writes [credential.Redacted], for encoding/json and its like.
func (Keys) MarshalText() ([]byte, error) { return []byte(credential.Redacted), nil }
