package jsapi_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/wxbroker/wxbroker/pkg/jsapi"
)

// vectors are signatures that WeChat and other SDKs published.
type vectors struct {
	JSAPI []struct{ ID, Ticket, Noncestr, Timestamp, URL, Signature string }
	Card  []map[string]string
}

func readPublished(t *testing.T) vectors {
	t.Helper()
	raw, err := os.ReadFile("testdata/signatures.json")
	if err != nil {
		t.Fatal(err)
	}
	var p vectors
	if err := json.Unmarshal(raw, &p); err != nil {
		t.Fatal(err)
	}
	if len(p.JSAPI) == 0 || len(p.Card) == 0 {
		t.Fatal("testdata/signatures.json has no values")
	}
	return p
}

func TestPublishedSignatures(t *testing.T) {
	for _, v := range readPublished(t).JSAPI {
		t.Run(v.ID, func(t *testing.T) {
			if got := jsapi.Signature(v.Ticket, v.Noncestr, v.Timestamp, v.URL); got != v.Signature {
				t.Errorf("Signature = %s, want %s", got, v.Signature)
			}
			page, err := jsapi.ParseURL(v.URL)
			if err != nil {
				t.Fatal(err)
			}
			timestamp, err := jsapi.ParseTimestamp(v.Timestamp)
			if err != nil {
				t.Fatal(err)
			}
			config, err := jsapi.NewSigner("wx1", v.Ticket).SignWith(page, v.Noncestr, timestamp)
			if err != nil {
				t.Fatal(err)
			}
			if config.Signature != v.Signature {
				t.Errorf("SignWith = %s, want %s", config.Signature, v.Signature)
			}
			if strings.Contains(config.URL, "#") {
				t.Errorf("signed URL %q has a fragment", config.URL)
			}
		})
	}
}

func TestPublishedCardSignatures(t *testing.T) {
	for _, v := range readPublished(t).Card {
		t.Run(v["id"], func(t *testing.T) {
			want := v["signature"]
			delete(v, "id")
			delete(v, "signature")
			var values []string
			for _, value := range v {
				values = append(values, value)
			}
			if got := jsapi.CardSignature(values...); got != want {
				t.Errorf("CardSignature = %s, want %s", got, want)
			}
		})
	}
}

func TestSignUsesAFreshNonceAndTheGivenSecond(t *testing.T) {
	page, err := jsapi.ParseURL("https://shop.example.com/a?b=1#top")
	if err != nil {
		t.Fatal(err)
	}
	signer := jsapi.NewSigner("wx1", "ticket")
	now := time.Unix(1414587457, 999)
	seen := map[string]bool{}
	for range 1000 {
		c := signer.Sign(page, now)
		if err := jsapi.CheckNonce(c.NonceStr); err != nil || len(c.NonceStr) != 20 {
			t.Fatalf("nonce %q: %v", c.NonceStr, err)
		}
		if seen[c.NonceStr] {
			t.Fatalf("nonce %q came twice", c.NonceStr)
		}
		seen[c.NonceStr] = true
		if c.Timestamp != 1414587457 || c.AppID != "wx1" || c.URL != "https://shop.example.com/a?b=1" {
			t.Fatalf("config %+v", c)
		}
		if want := jsapi.Signature("ticket", c.NonceStr, "1414587457", c.URL); c.Signature != want {
			t.Fatalf("signature %s, want %s", c.Signature, want)
		}
	}
}

func TestSignWithRefusesNoncesThatCarryAnotherURL(t *testing.T) {
	page, err := jsapi.ParseURL("https://shop.example.com/")
	if err != nil {
		t.Fatal(err)
	}
	signer := jsapi.NewSigner("wx1", "ticket")
	for _, nonce := range []string{"", "x&timestamp=1&url=https://evil.example/?", "a b", "ä", strings.Repeat("n", 65), "a\x00"} {
		if c, err := signer.SignWith(page, nonce, 1); err == nil {
			t.Errorf("nonce %q was signed: %+v", nonce, c)
		}
	}
	if _, err := signer.SignWith(page, "n", -1); err == nil {
		t.Error("a negative timestamp was signed")
	}
	if _, err := signer.SignWith(page, strings.Repeat("n", 64), 1); err != nil {
		t.Error(err)
	}
}

func TestParseTimestamp(t *testing.T) {
	for _, s := range []string{"", "-1", "+1", "1.5", "007", "1&url=", "0x1", " 1", "1234567890123456"} {
		if n, err := jsapi.ParseTimestamp(s); err == nil {
			t.Errorf("ParseTimestamp(%q) = %d", s, n)
		}
	}
	if n, err := jsapi.ParseTimestamp("1414587457"); err != nil || n != 1414587457 {
		t.Errorf("ParseTimestamp = %d, %v", n, err)
	}
}

func TestSignerNeverPrintsItsTicket(t *testing.T) {
	signer := jsapi.NewSigner("wx1", "the-ticket")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		if got := fmt.Sprintf(verb, signer); strings.Contains(got, "the-ticket") {
			t.Errorf("%s printed %s", verb, got)
		}
	}
}

func TestSignAllocatesOnlyItsResult(t *testing.T) {
	signer := jsapi.NewSigner("wx1", "ticket")
	page, err := jsapi.ParseURL("https://shop.example.com/" + strings.Repeat("a", 4000))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1414587457, 0)
	signer.Sign(page, now) // grows the recycled buffer
	// One: the string that nonce and signature share.
	if n := testing.AllocsPerRun(1000, func() { signer.Sign(page, now) }); n > 1 && !raceEnabled {
		t.Errorf("Sign allocates %v times", n)
	}
}
