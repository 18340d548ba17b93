package wechatsim

import (
	"encoding/binary"
	"hash/fnv"
	"io"
)

// Generated returns the bytes of a media that was added with a size in place of its
// content. They are computed when they are read. So a test can compare a download of any
// size, and neither side holds it in memory. Two media differ, and so do the parts of
// one: lost, repeated or mixed up bytes are noticed.
func Generated(mediaID string, size int64) *io.SectionReader {
	h := fnv.New64a()
	h.Write([]byte(mediaID))
	return io.NewSectionReader(generator(h.Sum64()), 0, size)
}

// generator yields a stream without an end: the eight bytes at each multiple of
// eight are a mixture of their position and the seed.
type generator uint64

func (g generator) ReadAt(p []byte, off int64) (int, error) {
	var word [8]byte
	for n := 0; n < len(p); {
		at := uint64(off) + uint64(n)
		binary.LittleEndian.PutUint64(word[:], mix(uint64(g)+at/8))
		n += copy(p[n:], word[at%8:])
	}
	return len(p), nil
}

// mix is the last step of SplitMix64. It makes neighbouring numbers unlike each other.
func mix(x uint64) uint64 {
	x *= 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
