package jsapi_test

import (
	"slices"
	"testing"

	"github.com/wxbroker/wxbroker/pkg/jsapi"
)

func TestReadings(t *testing.T) {
	const bad = "none that is taken"
	for _, tt := range []struct {
		name, url string
		others    []string
	}{
		{"a plain one", "https://a.example/b?c=d", nil},
		{"one with a URL as another parameter", "https://a.example/?u=https://b.example/", nil},
		{"one with an escaped URL", "https://a.example/?x&url=https%3A%2F%2Fb.example%2F", nil},
		{"one with a half escaped URL", "https://a.example/?x&url=http:%2F%2Fb.example", nil},
		{"one with a half escaped URL in capitals", "https://a.example/?x&url=HTTPS:%2f%2fb.example", nil},
		{"one with another behind it", "https://a.example/?x&url=http:%2F%2Fb.example&url=http://c.example", []string{"http://c.example"}},
		{"one that hides its host", "https://a.example/?x&url=http:%62.example", []string{bad}},
		{"one that escapes only the second slash", "https://a.example/?x&url=http:/%2Fb.example", []string{bad}},
		{"one with a url that is a path", "https://a.example/?x&url=/cart", nil},
		{"one with a url of an app", "https://a.example/?x&url=weixin://dl/scan", nil},
		{"one with a url first", "https://a.example/?url=https://b.example/", nil},
		{"one with a url", "https://a.example/?x&url=https://b.example/c?d", []string{"https://b.example/c?d"}},
		{"one with a url in its path", "https://a.example/&url=http://b.example", []string{"http://b.example"}},
		{"one with two", "https://a.example/?x&url=https://b.example/?y&url=http://c.example:1/", []string{"https://b.example/?y&url=http://c.example:1/", "http://c.example:1/"}},
		{"one with a second behind something else", "https://a.example/?&url=b&url=https://c.example", []string{"https://c.example"}},
		{"capitals", "https://a.example/?&url=HTTPS://b.example", []string{"HTTPS://b.example"}},
		{"a fragment", "https://a.example/?x#&url=https://b.example", nil},
		{"one that a browser mends", "https://a.example/?&url=https:b.example", []string{bad}},
		{"no host", "https://a.example/?&url=https:///b.example", []string{bad}},
		{"user information", "https://a.example/?&url=http://a.example@b.example/", []string{bad}},
		{"a port that is none", "https://a.example/?&url=http://b.example:x&url=http://c.example", []string{bad, "http://c.example"}},
		{"the end", "https://a.example/?&url=", nil},
		{"less than a scheme", "https://a.example/?&url=http", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			page, err := jsapi.ParseURL(tt.url)
			if err != nil {
				t.Fatal(err)
			}
			want := append([]string{page.String()}, tt.others...)
			var got []string
			for reading, ok := range page.Readings() {
				if !ok {
					got = append(got, bad)
					continue
				}
				got = append(got, reading.String())
				again, err := jsapi.ParseURL(reading.String())
				if err != nil || again != reading {
					t.Errorf("%q is read as %+v, %v", reading, again, err)
				}
				for range page.Readings() { // a caller may stop early
					break
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("read as %q, want %q", got, want)
			}
		})
	}
}
