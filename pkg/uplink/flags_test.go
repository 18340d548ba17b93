package uplink_test

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"github.com/wxbroker/wxbroker/pkg/tlstest"
	"github.com/wxbroker/wxbroker/pkg/uplink"
)

func TestPlainTextOrTLS(t *testing.T) {
	dir := t.TempDir()
	ca := tlstest.NewCA(t, "ours")
	caFile := ca.Write(t, dir)
	cert, key := ca.Issue(t).Write(t, dir)
	const remote = "broker.example.com:7600"
	for _, tt := range []struct {
		name, broker string
		flags        uplink.Flags
		tls          bool
		warns        string
	}{
		{"loopback", "127.0.0.1:7600", uplink.Flags{}, false, ""},
		{"localhost", "localhost:7600", uplink.Flags{}, false, ""},
		{"a unix socket", "unix:/run/wxbroker.sock", uplink.Flags{}, false, ""},
		{"loopback, insecure", "127.0.0.1:7600", uplink.Flags{InsecureBroker: true}, false, ""},
		{"loopback with CAs", "127.0.0.1:7600", uplink.Flags{CAFile: caFile}, true, ""},
		{"loopback with a certificate", "127.0.0.1:7600", uplink.Flags{CertFile: cert, KeyFile: key}, true, ""},
		{"loopback with a name", "127.0.0.1:7600", uplink.Flags{ServerName: "broker"}, true, ""},
		{"a unix socket with a name", "unix:/run/wxbroker.sock", uplink.Flags{ServerName: "broker", CAFile: caFile}, true, ""},
		{"another machine", remote, uplink.Flags{}, true, ""},
		{"another machine with all", remote, uplink.Flags{CAFile: caFile, CertFile: cert, KeyFile: key, ServerName: "broker"}, true, ""},
		{"another machine by address", "192.0.2.1:7600", uplink.Flags{}, true, ""},
		{"every interface by a name", ":7600", uplink.Flags{ServerName: "broker"}, true, ""},
		{"another machine, insecure", remote, uplink.Flags{InsecureBroker: true}, false, "insecure: credentials cross the network"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			link, err := tt.flags.Open(t.Context(), tt.broker)
			if err != nil {
				t.Fatal(err)
			}
			if (link.TLS() != nil) != tt.tls {
				t.Errorf("TLS: %v, want %v", link.TLS() != nil, tt.tls)
			}
			warned := strings.Join(link.Warnings(), "; ")
			if (warned == "") != (tt.warns == "") || !strings.Contains(warned, tt.warns) {
				t.Errorf("warns %q, want %q", warned, tt.warns)
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	ca := tlstest.NewCA(t, "ours")
	caFile := ca.Write(t, dir)
	cert, key := ca.Issue(t).Write(t, dir)
	missing := filepath.Join(dir, "missing")
	const local, remote = "127.0.0.1:7600", "broker.example.com:7600"
	for _, tt := range []struct {
		name, broker string
		flags        uplink.Flags
		says         string
	}{
		{"an address that is none", "broker", uplink.Flags{}, "--broker: address"},
		{"plain text with CAs", remote, uplink.Flags{InsecureBroker: true, CAFile: caFile}, "leave out the one or the others"},
		{"plain text with a certificate", local, uplink.Flags{InsecureBroker: true, CertFile: cert, KeyFile: key}, "leave out the one or the others"},
		{"plain text with a key", local, uplink.Flags{InsecureBroker: true, KeyFile: key}, "leave out the one or the others"},
		{"plain text with a name", remote, uplink.Flags{InsecureBroker: true, ServerName: "broker"}, "leave out the one or the others"},
		{"a certificate without a key", remote, uplink.Flags{CertFile: cert}, "has no key with it"},
		{"a key without a certificate", local, uplink.Flags{KeyFile: key}, "has no certificate with it"},
		{"the two swapped", remote, uplink.Flags{CertFile: key, KeyFile: cert}, "swapped"},
		{"no CAs there", remote, uplink.Flags{CAFile: missing}, missing + ": no such file"},
		{"a unix socket without a name", "unix:/run/wxbroker.sock", uplink.Flags{CAFile: caFile}, "--server-name: the broker at unix:/run/wxbroker.sock"},
		{"no host to hold it against", ":7600", uplink.Flags{}, "--server-name"},
		{"no token there", local, uplink.Flags{TokenFile: missing}, "--token-file: reading the token: stat " + missing + ": no such file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			link, err := tt.flags.Open(t.Context(), tt.broker)
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("link %v, error %v, want %q", link, err, tt.says)
			}
		})
	}
}

func TestWarnings(t *testing.T) {
	dir := t.TempDir()
	ca := tlstest.NewCA(t, "ours")
	cert, key := ca.Issue(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }).Write(t, dir)
	token := filepath.Join(dir, "token")
	if err := os.WriteFile(token, []byte("t"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{key, token} {
		if err := os.Chmod(path, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	link, err := uplink.Flags{CertFile: cert, KeyFile: key, TokenFile: token}.Open(t.Context(), "192.0.2.1:7600")
	if err != nil {
		t.Fatal(err)
	}
	said := strings.Join(link.Warnings(), "\n")
	for _, want := range []string{key + " can be read by every user", cert + " expired", token + " can be read by every user"} {
		if !strings.Contains(said, want) {
			t.Errorf("%q does not say %q", said, want)
		}
	}
}

// The flags of a command, each with its variable. An empty variable counts as not set.
func TestCommandLine(t *testing.T) {
	parse := func(t *testing.T, args ...string) uplink.Flags {
		t.Helper()
		var line struct{ uplink.Flags }
		parser, err := kong.New(&line, kong.Vars{"env": "WXTEST"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parser.Parse(args); err != nil {
			t.Fatal(err)
		}
		return line.Flags
	}
	for _, tt := range []struct {
		flag, variable, value string
		want                  uplink.Flags
	}{
		{"--ca-file", "WXTEST_CA_FILE", "/f", uplink.Flags{CAFile: "/f"}},
		{"--cert-file", "WXTEST_CERT_FILE", "/f", uplink.Flags{CertFile: "/f"}},
		{"--key-file", "WXTEST_KEY_FILE", "/f", uplink.Flags{KeyFile: "/f"}},
		{"--server-name", "WXTEST_SERVER_NAME", "broker", uplink.Flags{ServerName: "broker"}},
		{"--token-file", "WXTEST_TOKEN_FILE", "/f", uplink.Flags{TokenFile: "/f"}},
		{"--insecure-broker", "WXTEST_INSECURE_BROKER", "true", uplink.Flags{InsecureBroker: true}},
	} {
		t.Run(tt.flag, func(t *testing.T) {
			if got := parse(t, tt.flag+"="+tt.value); got != tt.want {
				t.Errorf("the flag gives %+v", got)
			}
			t.Setenv(tt.variable, tt.value)
			if got := parse(t); got != tt.want {
				t.Errorf("the variable gives %+v", got)
			}
			if tt.want.InsecureBroker {
				return
			}
			t.Setenv(tt.variable, "")
			if got := parse(t); got != (uplink.Flags{}) {
				t.Errorf("an empty variable gives %+v", got)
			}
		})
	}
}
