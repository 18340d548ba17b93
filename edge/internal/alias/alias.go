// Package alias makes aliases of access_tokens. An app that may let the broker make
// calls with a token, but may not have the token itself, gets an alias for it. An alias
// says which local key it was made for, and until when it is good. Making and reading
// one takes the app's key for the account, which all edges of the app have. So each of
// them knows the aliases that another edge made, or that it made itself before a
// restart.
package alias

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/wxbroker/wxbroker/pkg/credential"
)

// Life is how long an alias is good: as long as WeChat's access_token.
const Life = 2 * time.Hour

const (
	prefix = "wxb_"
	// keySize is AES-256's, in bytes.
	keySize = 32
	// maxName bounds the name of a local key, as package localkey does. maxLength
	// bounds an alias: WeChat tells apps to make room for a token of 512 characters.
	maxName   = 64
	maxLength = 512
)

// encoding is strict, or one alias could be written in several ways.
var encoding = base64.RawURLEncoding.Strict()

// New returns an alias for the holder of the local key of that name, which
// stands for the access_token of appid until expiry.
func New(key credential.Secret, appid, name string, expiry time.Time) (string, error) {
	if len(name) > maxName {
		return "", fmt.Errorf("making an alias: the name of the local key has more than %d bytes", maxName)
	}
	sealer, err := sealer(key)
	if err != nil {
		return "", err
	}
	plain := binary.BigEndian.AppendUint64(nil, uint64(expiry.Unix()))
	sealed := sealer.Seal(nil, nil, append(plain, name...), []byte(appid)) //nolint:gosec // it makes a random nonce itself
	return prefix + encoding.EncodeToString(sealed), nil
}

// Open returns the name of the local key that an alias was made for, and when the
// alias expires. ok is false if it is no alias, if it was made for another appid or
// with another key, or if it has expired.
func Open(key credential.Secret, appid, alias string, now time.Time) (name string, expiry time.Time, ok bool) {
	encoded, has := strings.CutPrefix(alias, prefix)
	if !has || len(alias) > maxLength {
		return "", time.Time{}, false
	}
	sealed, err := encoding.DecodeString(encoded)
	if err != nil || strings.ContainsAny(encoded, "\r\n") { // the decoder would skip line ends
		return "", time.Time{}, false
	}
	sealer, err := sealer(key)
	if err != nil {
		return "", time.Time{}, false
	}
	plain, err := sealer.Open(nil, nil, sealed, []byte(appid))
	if err != nil || len(plain) < 8 || len(plain) > 8+maxName || !utf8.Valid(plain[8:]) {
		return "", time.Time{}, false
	}
	expiry = time.Unix(int64(binary.BigEndian.Uint64(plain)), 0)
	if !expiry.After(now) {
		return "", time.Time{}, false
	}
	return string(plain[8:]), expiry, true
}

func sealer(key credential.Secret) (cipher.AEAD, error) {
	if len(key.Reveal()) != keySize {
		return nil, errors.New("making an alias: the broker's key for it does not have 32 bytes")
	}
	block, err := aes.NewCipher([]byte(key.Reveal()))
	if err != nil {
		return nil, fmt.Errorf("making an alias: %w", err)
	}
	return cipher.NewGCMWithRandomNonce(block)
}
