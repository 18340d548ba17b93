package jsapi

import (
	"crypto/rand"
	"fmt"
	"strconv"
	"time"
)

// Config is what wx.config takes, plus the URL that was signed. Its JSON is
// ready to be handed to a page.
type Config struct {
	Debug       bool     `json:"debug"`
	AppID       string   `json:"appId"`
	Timestamp   int64    `json:"timestamp"` // seconds since 1970
	NonceStr    string   `json:"nonceStr"`
	Signature   string   `json:"signature"`
	JSAPIList   []string `json:"jsApiList"`
	OpenTagList []string `json:"openTagList,omitempty"`
	URL         string   `json:"url"` // without its fragment
}

// Signer signs pages with one ticket of one account. It is immutable and safe
// for concurrent use: make one for each ticket and drop it with the ticket.
// It prints as its appid alone.
type Signer struct {
	appID  string
	prefix string
}

// NewSigner returns a Signer for the account appID with its jsapi_ticket.
func NewSigner(appID, ticket string) *Signer {
	return &Signer{appID: appID, prefix: string(appendPrefix(nil, ticket))}
}

// Sign signs page with a fresh nonce and the second of now. It fills all of Config but
// Debug and the two lists, which are not signed.
func (s *Signer) Sign(page PageURL, now time.Time) Config {
	var nonce [nonceLen]byte
	return s.sign(page, appendNonce(nonce[:0]), now.Unix())
}

// SignWith is Sign with a nonce and a timestamp (seconds since 1970) that the caller
// chose. It refuses a nonce that [CheckNonce] refuses, and a negative timestamp.
func (s *Signer) SignWith(page PageURL, noncestr string, timestamp int64) (Config, error) {
	if err := CheckNonce(noncestr); err != nil {
		return Config{}, err
	}
	if timestamp < 0 {
		return Config{}, fmt.Errorf("timestamp %d is before 1970", timestamp)
	}
	return s.sign(page, []byte(noncestr), timestamp), nil
}

func (s *Signer) sign(page PageURL, nonce []byte, timestamp int64) Config {
	in := inputs.Get().(*[]byte)
	defer putInput(in)
	b := append((*in)[:0], s.prefix...)
	b = append(b, nonce...)
	b = append(b, timestampKey...)
	b = strconv.AppendInt(b, timestamp, 10)
	b = append(b, urlKey...)
	b = append(b, page.signed...)
	*in = b

	// Nonce and signature share one string: one allocation instead of two.
	var out [maxNonceLen + signatureLen]byte
	both := string(appendHexSHA1(append(out[:0], nonce...), b))
	return Config{
		AppID:     s.appID,
		Timestamp: timestamp,
		NonceStr:  both[:len(nonce)],
		Signature: both[len(nonce):],
		URL:       page.signed,
	}
}

// String returns the appid; the ticket is never printed.
func (s *Signer) String() string { return "signer for " + s.appID }

// Format prints what String returns, whatever the verb.
func (s *Signer) Format(f fmt.State, _ rune) { fmt.Fprint(f, s.String()) }

const (
	nonceLen    = 20 // of 32 characters each: 100 random bits
	maxNonceLen = 64
	nonceChars  = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
)

// NewNonce returns a nonce of 20 random letters and digits.
func NewNonce() string {
	var nonce [nonceLen]byte
	return string(appendNonce(nonce[:0]))
}

func appendNonce(dst []byte) []byte {
	var random [nonceLen]byte
	// Never fails: crypto/rand ends the process where the kernel has no
	// randomness to give.
	_, _ = rand.Read(random[:])
	for _, b := range random {
		dst = append(dst, nonceChars[b%byte(len(nonceChars))])
	}
	return dst
}
