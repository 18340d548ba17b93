package wechat

import (
	"bytes"
	"io"
	"slices"
)

// maskingReader puts stars in the place of secrets in what it reads. It finds a
// secret even where several reads bring its parts.
type maskingReader struct {
	from    io.Reader
	secrets [][]byte
	longest int    // bytes of the longest secret
	held    []byte // bytes that were read, and not yet passed on
	buffer  []byte // the memory of held
	err     error  // the error that ended reading, io.EOF included
}

// pieceSize is how much one read takes at most, in bytes.
const pieceSize = 32 << 10

func newMaskingReader(from io.Reader, secrets [][]byte) *maskingReader {
	m := &maskingReader{from: from, secrets: secrets}
	for _, s := range secrets {
		m.longest = max(m.longest, len(s))
	}
	m.buffer = make([]byte, m.longest+pieceSize)
	return m
}

func (m *maskingReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		safe := len(m.held)
		if m.err == nil { // the last bytes may be the beginning of a secret
			safe = max(0, safe-max(0, m.longest-1))
		}
		if safe > 0 {
			n := copy(p, m.held[:safe])
			m.held = m.held[n:]
			return n, nil
		}
		if m.err != nil {
			return 0, m.err
		}
		rest := copy(m.buffer, m.held)
		n, err := m.from.Read(m.buffer[rest : rest+pieceSize])
		m.held, m.err = m.buffer[:rest+n], err
		mask(m.held, m.secrets)
	}
}

// mask puts stars in the place of secrets in text.
func mask(text []byte, secrets [][]byte) {
	for _, s := range secrets {
		for rest := text; ; {
			i := bytes.Index(rest, s)
			if i < 0 {
				break
			}
			copy(rest[i:], bytes.Repeat([]byte("*"), len(s)))
			rest = rest[i+len(s):]
		}
	}
}

// distinctForms returns every form of a secret once, and leaves out empty ones.
func distinctForms(forms []string) [][]byte {
	var secrets [][]byte
	for i, s := range forms {
		if s != "" && !slices.Contains(forms[:i], s) {
			secrets = append(secrets, []byte(s))
		}
	}
	return secrets
}
