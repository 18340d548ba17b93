// Package alias makes what stands for an access_token where an app may have
// calls made with it and may not have it. An alias says which local key it was
// made for, and until when it is good. Only who has the app's key for the
// account can make one or read it, so each edge of the app knows those of the
// others, and an edge that was restarted those from before.
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
	// maxName bounds the name of a local key, as the file of them does, and
	// maxLength an alias: WeChat has apps make room for 512.
	maxName   = 64
	maxLength = 512
)

// encoding is strict: else an alias could be written in several ways.
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

// Open returns the name of the local key that an alias was made for and when it
// expires; false where it is none, or none of appid with that key, or is not
// good any more.
func Open(key credential.Secret, appid, alias string, now time.Time) (name string, expiry time.Time, ok bool) {
	encoded, has := strings.CutPrefix(alias, prefix)
	if !has || len(alias) > maxLength {
		return "", time.Time{}, false
	}
	sealed, err := encoding.DecodeString(encoded)
	if err != nil || strings.ContainsAny(encoded, "\r\n") { // which the decoder skips
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
		return nil, errors.New("making an alias: the broker's key for it has not 32 bytes")
	}
	block, err := aes.NewCipher([]byte(key.Reveal()))
	if err != nil {
		return nil, fmt.Errorf("making an alias: %w", err)
	}
	return cipher.NewGCMWithRandomNonce(block)
}
