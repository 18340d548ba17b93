package jsapi

import (
	"errors"
	"fmt"
	"strconv"
)

// CheckNonce says why s may not be a noncestr: it has to match
// [A-Za-z0-9_-]{1,64}.
func CheckNonce(s string) error {
	if s == "" || len(s) > maxNonceLen {
		return fmt.Errorf("noncestr has %d characters: 1 to %d are allowed", len(s), maxNonceLen)
	}
	for i := range len(s) {
		if !isNonceChar(s[i]) {
			return errors.New("noncestr may hold letters, digits, '_' and '-' only")
		}
	}
	return nil
}

func isNonceChar(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
}

// maxTimestampLen keeps a timestamp exact as a JavaScript number (2^53).
const maxTimestampLen = 15

// ParseTimestamp reads a timestamp, seconds since 1970: 1 to 15 digits without a
// leading zero. So the number that wx.config gets prints as the text that was signed.
func ParseTimestamp(s string) (int64, error) {
	if s == "" || len(s) > maxTimestampLen {
		return 0, fmt.Errorf("timestamp has %d characters: 1 to %d digits are allowed", len(s), maxTimestampLen)
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, errors.New("timestamp may hold digits only")
		}
	}
	if s[0] == '0' && len(s) > 1 {
		return 0, errors.New("timestamp has a leading zero")
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("timestamp: %w", err)
	}
	return n, nil
}
