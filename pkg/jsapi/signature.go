package jsapi

import (
	"crypto/sha1" //nolint:gosec // WeChat's rule names SHA-1
	"encoding/hex"
	"slices"
	"strings"
	"sync"
)

// signatureLen is the length of a signature: SHA-1 in hex.
const signatureLen = 2 * sha1.Size

// Signature returns the JS-SDK signature of url, 40 lower-case hex digits.
// Everything from the first '#' of url is dropped; nothing is escaped,
// trimmed or checked.
func Signature(ticket, noncestr, timestamp, url string) string {
	url, _, _ = strings.Cut(url, "#")
	in := inputs.Get().(*[]byte)
	defer putInput(in)
	b := appendPrefix((*in)[:0], ticket)
	b = append(b, noncestr...)
	b = append(b, timestampKey...)
	b = append(b, timestamp...)
	b = append(b, urlKey...)
	b = append(b, url...)
	*in = b
	var sum [signatureLen]byte
	return string(appendHexSHA1(sum[:0], b))
}

// CardSignature returns the signature of card and coupon parameters: SHA-1
// over the values, api_ticket (the wx_card ticket) among them, sorted and
// joined with nothing between. Which values take part depends on the call:
// see appendix 4 of WeChat's JS-SDK guide. An empty value changes nothing.
func CardSignature(values ...string) string {
	sorted := slices.Sorted(slices.Values(values))
	var sum [signatureLen]byte
	return string(appendHexSHA1(sum[:0], []byte(strings.Join(sorted, ""))))
}

const (
	ticketKey    = "jsapi_ticket="
	noncestrKey  = "&noncestr="
	timestampKey = "&timestamp="
	urlKey       = "&url="
)

// appendPrefix appends the part that all signatures with one ticket begin with.
func appendPrefix(b []byte, ticket string) []byte {
	b = append(b, ticketKey...)
	b = append(b, ticket...)
	return append(b, noncestrKey...)
}

func appendHexSHA1(dst, input []byte) []byte {
	sum := sha1.Sum(input) //nolint:gosec // WeChat's rule names SHA-1
	return hex.AppendEncode(dst, sum[:])
}

// inputs recycles the joined strings, which are as long as the URLs.
var inputs = sync.Pool{New: func() any {
	b := make([]byte, 0, 1024)
	return &b
}}

// putInput recycles b unless one long URL made it unusually large.
func putInput(b *[]byte) {
	if cap(*b) <= 16<<10 {
		inputs.Put(b)
	}
}
