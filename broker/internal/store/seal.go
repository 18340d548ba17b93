package store

import (
	"crypto/aes"
	"crypto/cipher"
	"errors"
)

// A sealed value is a random nonce of 12 bytes, the value encrypted with
// AES-256-GCM, and a tag of 16 bytes. The tag covers the value's place as well. So
// a value that was copied to another place, or changed at all, does not open. With
// random nonces a key is good for 2^32 values: a broker of a hundred accounts that
// writes each of them every second needs more than a year for them.

// realm is the first part of what is authenticated besides a value.
const realm = "wxbroker-v1"

// keyCheck is a known text. Whoever can open it has the key. Its place is realm
// alone, which is no value's.
const keyCheck = "whoever opens this has the key"

var errSeal = errors.New("a value does not open with the key that the others are sealed with, or is not where it was written")

// sealer seals and opens with one key. Nil leaves values as they are.
type sealer struct{ aead cipher.AEAD }

func newSealer(key [keySize]byte) (*sealer, error) {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return &sealer{aead}, nil
}

func place(appid, key string) []byte { return []byte(realm + "\x00" + appid + "\x00" + key) }

func (s *sealer) seal(value, place []byte) []byte {
	return s.aead.Seal(nil, nil, value, place) //nolint:gosec // G407: it makes its own nonces, and takes none
}

// pack returns what is stored for value.
func (s *sealer) pack(appid, key string, value []byte) []byte {
	if s != nil {
		value = s.seal(value, place(appid, key))
	}
	return wrap(appid, key, value)
}

// unpack returns a copy of the value in what is stored.
func (s *sealer) unpack(appid, key string, stored []byte) ([]byte, error) {
	value, err := unwrap(appid, key, stored)
	if err != nil || s == nil {
		return value, err
	}
	if value, err = s.aead.Open(nil, nil, value, place(appid, key)); err != nil {
		return nil, errSeal
	}
	return value, nil
}

// check returns keyCheck, sealed: recognises knows the key by it.
func (s *sealer) check() []byte {
	return wrap("", string(sealedKey), s.seal([]byte(keyCheck), []byte(realm)))
}

// recognises reports whether check, which the method of that name returned, was
// sealed with this key. The error is errSum when check is not what was written.
func (s *sealer) recognises(check []byte) (bool, error) {
	sealed, err := unwrap("", string(sealedKey), check)
	if err != nil {
		return false, err
	}
	_, err = s.aead.Open(nil, nil, sealed, []byte(realm))
	return err == nil, nil
}
