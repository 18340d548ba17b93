package daemon_test

import (
	"testing"

	"github.com/wxbroker/wxbroker/pkg/daemon"
)

func TestParseAddress(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		local    bool
		path     string // of a unix socket
	}{
		{"IPv4 loopback", "127.0.0.1:7600", true, ""},
		{"all of 127/8 is loopback", "127.0.0.2:7600", true, ""},
		{"IPv6 loopback", "[::1]:7600", true, ""},
		{"IPv4 loopback in IPv6", "[::ffff:127.0.0.1]:7600", true, ""},
		{"localhost", "localhost:7600", true, ""},
		{"localhost in capitals", "LOCALHOST:7600", true, ""},
		{"any free port", "localhost:0", true, ""},
		{"unix socket", "unix:/run/wxbroker.sock", true, "/run/wxbroker.sock"},
		{"relative unix socket", "unix:wxbroker.sock", true, "wxbroker.sock"},
		{"every interface", ":7600", false, ""},
		{"every IPv4 interface", "0.0.0.0:7600", false, ""},
		{"every IPv6 interface", "[::]:7600", false, ""},
		{"private network", "10.0.0.1:7600", false, ""},
		{"a name is not looked up", "broker:7600", false, ""},
		{"a name that begins like localhost", "localhost.evil.example:7600", false, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, err := daemon.ParseAddress(tt.in)
			if err != nil {
				t.Fatal(err)
			}
			if a.String() != tt.in {
				t.Errorf("%q is written as %q", tt.in, a)
			}
			if a.IsLocal() != tt.local {
				t.Errorf("IsLocal says %v", a.IsLocal())
			}
			if a.IsUnix() != (tt.path != "") || a.Path() != tt.path {
				t.Errorf("IsUnix says %v, Path %q", a.IsUnix(), a.Path())
			}
		})
	}
}

func TestParseAddressRefuses(t *testing.T) {
	for _, tt := range []struct{ name, in string }{
		{"nothing", ""},
		{"no port", "127.0.0.1"},
		{"empty port", "127.0.0.1:"},
		{"only a port", "7600"},
		{"port in words", "127.0.0.1:http"},
		{"port too high", "127.0.0.1:65536"},
		{"negative port", "127.0.0.1:-1"},
		{"port with a sign", "127.0.0.1:+1"},
		{"IPv6 without brackets", "::1:7600"},
		{"URL", "http://127.0.0.1:7600"},
		{"unix without a path", "unix:"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if a, err := daemon.ParseAddress(tt.in); err == nil {
				t.Errorf("%q was read as %q", tt.in, a)
			}
		})
	}
}

func TestIsLoopbackHost(t *testing.T) {
	for _, tt := range []struct {
		host string
		want bool
	}{
		{"127.0.0.1", true},
		{"127.0.0.2", true},
		{"::1", true},
		{"[::1]", true},
		{"::ffff:127.0.0.1", true},
		{"localhost", true},
		{"LOCALHOST", true},
		{"", false},
		{"0.0.0.0", false},
		{"::", false},
		{"10.0.0.1", false},
		{"::ffff:10.0.0.1", false},
		{"128.0.0.1", false},
		{"localhost.evil.example", false},
		{"evil.localhost", false},
		{"127.0.0.1.evil.example", false},
		{"127.1", false}, // the resolver's old shorthand: not worth guessing
	} {
		t.Run(tt.host, func(t *testing.T) {
			if got := daemon.IsLoopbackHost(tt.host); got != tt.want {
				t.Errorf("got %v", got)
			}
		})
	}
}
