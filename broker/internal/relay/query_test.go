package relay_test

import (
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
