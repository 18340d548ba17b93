package relay_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/wxbroker/wxbroker/broker/internal/relay"
)

func TestCleanQuery(t *testing.T) {
	for _, tt := range []struct {
		raw, want string
		bad       bool
	}{
		{raw: ""},
		{raw: "a=1&b=2", want: "a=1&b=2"},
		{raw: "a=1&access_token=t&b=2", want: "a=1&b=2"},
		{raw: "access_token=t"},
		{raw: "access_token"},
		{raw: "access_token=t&access_token=u&x=%E5%9B%BE", want: "x=%E5%9B%BE"},
		{raw: "%61ccess_token=t&a=1", want: "a=1"},
		{raw: "access%5ftoken=t&a=1", want: "a=1"},
		{raw: "ACCESS_TOKEN=t&a=1", want: "a=1"},
		{raw: "+access_token=t&a=1", want: "a=1"},
		{raw: "access_token%00=t&a=1", want: "a=1"},
		{raw: "a=access_token&b=x", want: "a=access_token&b=x"},
		{raw: "&&a=1&", want: "a=1"},
		{raw: "a=图", want: "a=图"},
		{raw: "a=%zz", want: "a=%zz"},
		{raw: "%zz=1", bad: true},
		{raw: "a=1 HTTP/1.1", bad: true},
		{raw: "a=1#b", bad: true},
		{raw: "a=1\r\nX: y", bad: true},
	} {
		got, err := relay.CleanQuery(tt.raw, "access_token")
		if got != tt.want || (err != nil) != tt.bad {
			t.Errorf("%q is cleaned to %q (%v), want %q", tt.raw, got, err, tt.want)
		}
	}
}

// FuzzCleanQuery: however it is written, no parameter of that name is left for
// who reads the query, and nothing else is lost.
func FuzzCleanQuery(f *testing.F) {
	for _, seed := range []string{"a=1&access_token=t&b=2", "%61ccess_token=t", "access_token%00=t", "a;access_token=t", "&=&a", "ACCESS_TOKEN=t&a=%zz"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		got, err := relay.CleanQuery(raw, "access_token")
		if err != nil {
			if got != "" {
				t.Errorf("beside an error there is %q", got)
			}
			return
		}
		values, _ := url.ParseQuery(got)
		for name := range values {
			if strings.EqualFold(strings.TrimSpace(name), "access_token") {
				t.Errorf("%q is cleaned to %q", raw, got)
			}
		}
		before, _ := url.ParseQuery(raw)
		for name, had := range before {
			if has := values[name]; !slices.Equal(had, has) && !strings.Contains(strings.ToLower(name), "access_token") {
				t.Errorf("%q is cleaned to %q: %s was %q and is %q", raw, got, name, had, has)
			}
		}
		if again, err := relay.CleanQuery(got, "access_token"); err != nil || again != got {
			t.Errorf("%q is cleaned to %q, and that to %q (%v)", raw, got, again, err)
		}
		request, err := http.NewRequest(http.MethodGet, "http://127.0.0.1/x?"+got, nil)
		if err == nil && request.URL.RawQuery != got {
			t.Errorf("%q is sent as %q", got, request.URL.RawQuery)
		}
	})
}
