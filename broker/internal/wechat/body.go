package wechat

import (
	"errors"
	"io"
	"sync"
)

// requestBody is the body of a request. It knows whether the body is what WeChat
// waits for. It has a lock because net/http reads it on a goroutine of its own.
type requestBody struct {
	from io.Reader
	left int64 // bytes that are still to come, -1 if their number is not known

	mu      sync.Mutex
	waiting bool  // a read of from is under way
	failure error // of the last read, nil at the body's proper end
}

func (s *requestBody) Read(p []byte) (int, error) {
	s.note(true, nil)
	n, err := s.from.Read(p)
	switch {
	case s.left < 0:
	case int64(n) > s.left:
		n, err = int(s.left), errors.New("the body is longer than its announced length")
	default:
		s.left -= int64(n)
	}
	if errors.Is(err, io.EOF) && s.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	if errors.Is(err, io.EOF) {
		s.note(false, nil)
	} else {
		s.note(false, err)
	}
	return n, err
}

func (s *requestBody) note(waiting bool, failure error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = waiting
	if failure != nil {
		s.failure = failure
	}
}

// missing reports whether the body failed, or a part of it has not come yet.
func (s *requestBody) missing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.waiting || s.failure != nil
}
