package jsapi_test

import (
	"crypto/sha1" //nolint:gosec // WeChat's rule names SHA-1
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/wxbroker/wxbroker/pkg/jsapi"
)

// The reference is how SDKs usually do it: a random string, Sprintf, sha1, %x.
func signLikeSDKs(ticket, url string, now time.Time) (noncestr string, timestamp int64, signature string) {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	random := make([]byte, 16)
	for i := range random {
		random[i] = letters[rand.IntN(len(letters))] //nolint:gosec // as SDKs do it
	}
	noncestr, timestamp = string(random), now.Unix()
	joined := fmt.Sprintf("jsapi_ticket=%s&noncestr=%s&timestamp=%d&url=%s", ticket, noncestr, timestamp, url)
	h := sha1.New() //nolint:gosec // WeChat's rule names SHA-1
	h.Write([]byte(joined))
	return noncestr, timestamp, fmt.Sprintf("%x", h.Sum(nil))
}

const (
	benchTicket = "sM4AOVdWfPE4DxkXGEs8VMCPGGVi4C3VM0P37wVUCFvkVAy_90u5h9nbSlYy3-Sl-HhTdfl2fzFy1AOcHKP7qg"
	benchURL    = "https://shop.example.com/products/1234?utm_source=wechat&from=timeline"
)

func BenchmarkSign(b *testing.B) {
	signer := jsapi.NewSigner("wx0123456789abcdef", benchTicket)
	now := time.Unix(1414587457, 0)
	page, err := jsapi.ParseURL(benchURL)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("signer", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			signer.Sign(page, now)
		}
	})
	b.Run("parse-and-sign", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			page, err := jsapi.ParseURL(benchURL)
			if err != nil {
				b.Fatal(err)
			}
			signer.Sign(page, now)
		}
	})
	b.Run("like-sdks", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			signLikeSDKs(benchTicket, benchURL, now)
		}
	})
	// Both in turn in one run: how many times faster parse-and-sign is.
	b.Run("ratio", func(b *testing.B) {
		const batch = 200
		var ours, theirs time.Duration
		for b.Loop() {
			start := time.Now()
			for range batch {
				page, _ := jsapi.ParseURL(benchURL)
				signer.Sign(page, now)
			}
			between := time.Now()
			for range batch {
				signLikeSDKs(benchTicket, benchURL, now)
			}
			ours += between.Sub(start)
			theirs += time.Since(between)
		}
		b.ReportMetric(float64(theirs)/float64(ours), "times-faster")
	})
}
