package store

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// A value is stored behind a checksum of its place and of itself. bbolt has
// checksums only for its two meta pages: a token in which a bit has turned would
// be published.

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const sumSize = 4 // bytes, big-endian

var errSum = errors.New("a value is not what was written")

func checksum(appid, key string, value []byte) uint32 {
	sum := crc32.Update(0, castagnoli, []byte(appid+"\x00"+key+"\x00"))
	return crc32.Update(sum, castagnoli, value)
}

// wrap returns what is stored for value.
func wrap(appid, key string, value []byte) []byte {
	return append(binary.BigEndian.AppendUint32(make([]byte, 0, sumSize+len(value)), checksum(appid, key, value)), value...)
}

// unwrap returns a copy of the value in what is stored.
func unwrap(appid, key string, stored []byte) ([]byte, error) {
	if len(stored) < sumSize {
		return nil, errSum
	}
	value := stored[sumSize:]
	if binary.BigEndian.Uint32(stored) != checksum(appid, key, value) {
		return nil, errSum
	}
	return append([]byte(nil), value...), nil
}
