package wechatsim

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math"
	"regexp"
	"time"
)

// Lengths of the values as WeChat's look today. WeChat asks for room for 512
// characters and promises nothing else.
const (
	tokenChars  = 150
	ticketChars = 86
)

// tokenForm is the form of the simulator's own tokens. Any other text cannot be one of
// them and is answered as malformed.
var tokenForm = regexp.MustCompile(`^8[0-9]_[A-Za-z0-9_-]{147}$`)

func newToken() string {
	return fmt.Sprintf("8%d_%s", randomBytes(1)[0]%10, randomText(tokenChars-3))
}

func newTicket() string { return randomText(ticketChars) }

// randomText returns n characters of [A-Za-z0-9_-].
func randomText(n int) string {
	return base64.RawURLEncoding.EncodeToString(randomBytes(n))[:n]
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails: see crypto/rand
	return b
}

// requestID is what WeChat appends to its error messages: three groups of eight
// hexadecimal digits, of which the first is the time.
func requestID(now time.Time) string {
	b := hex.EncodeToString(randomBytes(8))
	return fmt.Sprintf("%08x-%s-%s", uint32(now.Unix()&math.MaxUint32), b[:8], b[8:])
}
