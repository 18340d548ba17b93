package uplink_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/pkg/tlsfile"
	"github.com/wxbroker/wxbroker/pkg/tlstest"
	"github.com/wxbroker/wxbroker/pkg/uplink"
)

func writeToken(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFormOfTheToken(t *testing.T) {
	const jwt = "eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOlsid3hicm9rZXIiXX0.c2lnbmF0dXJl-_"
	for _, tt := range []struct {
		name, file string
		sent       string // "" for a file that is refused
	}{
		{"a word", "wxb_3fA9", "wxb_3fA9"},
		{"a line", "wxb_3fA9\n", "wxb_3fA9"},
		{"a line of Windows", "wxb_3fA9\r\n", "wxb_3fA9"},
		{"space around it", "\n  wxb_3fA9 \n\n", "wxb_3fA9"},
		{"of Kubernetes", jwt, jwt},
		{"the longest", strings.Repeat("x", 16<<10), strings.Repeat("x", 16<<10)},

		{"empty", "", ""},
		{"only space", " \n", ""},
		{"two lines", "wxb_3fA9\nwxb_77aa", ""},
		{"a header", "Bearer wxb_3fA9", ""},
		{"a second header", "wxb_3fA9\r\nx-admin: yes", ""},
		{"beyond ASCII", "wxb_3fA9ü", ""},
		{"a byte order mark", "\ufeffwxb_3fA9", ""},
		{"NUL", "wxb_3fA9\x00", ""},
		{"too long", strings.Repeat("x", 16<<10+1), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "token")
			writeToken(t, path, tt.file)
			link, err := uplink.Flags{TokenFile: path}.Open(t.Context(), "127.0.0.1:7600")
			if tt.sent == "" {
				if err == nil || !strings.Contains(err.Error(), "--token-file: ") || !strings.Contains(err.Error(), path) {
					t.Errorf("error %v", err)
				}
				if err != nil && (strings.Contains(err.Error(), "3fA9") || strings.Contains(err.Error(), "xxxx")) {
					t.Errorf("the token is in the error %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			b := serve(t, tlsfile.Files{})
			if err := b.call(t, link); err != nil {
				t.Fatal(err)
			}
			if got, _ := b.last(); !slices.Equal(got, []string{"Bearer " + tt.sent}) {
				t.Errorf("sent %q", got)
			}
		})
	}
}

// Each call carries the token that the file holds then. While there is no token the call
// can be tried again: the connection stays.
func TestTokenIsReadForEachCall(t *testing.T) {
	dir := t.TempDir()
	ca := tlstest.NewCA(t, "ours")
	cert, key := ca.Issue(t).Write(t, dir)
	secure := serve(t, tlsfile.Files{Cert: cert, Key: key})
	for _, tt := range []struct {
		name    string
		broker  *broker
		address string
		flags   uplink.Flags
	}{
		{"plain text on this machine", serve(t, tlsfile.Files{}), "127.0.0.1:7600", uplink.Flags{}},
		{"TLS", secure, "192.0.2.1:7600", uplink.Flags{CAFile: ca.Write(t, dir)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "token")
			writeToken(t, path, "first")
			tt.flags.TokenFile = path
			conn := tt.broker.connect(t, open(t, tt.flags, tt.address))
			call := func() {
				t.Helper()
				if err := ask(t, conn); err != nil {
					t.Error(err)
				}
			}
			call()
			call()
			writeToken(t, path, "second")
			call()
			for _, spoil := range []func() error{
				func() error { return os.WriteFile(path, []byte("qqqq wwww"), 0o600) },
				func() error { return os.Truncate(path, 0) },
				func() error { return os.Remove(path) },
			} {
				if err := spoil(); err != nil {
					t.Fatal(err)
				}
				err := ask(t, conn)
				if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "qqqq") {
					t.Errorf("got %v, want Unavailable that names the file", err)
				}
			}
			writeToken(t, path, "fourth")
			call()
			want := []string{"Bearer first", "Bearer first", "Bearer second", "Bearer fourth"}
			if got, _ := tt.broker.last(); !slices.Equal(got, want) {
				t.Errorf("sent %q, want %q", got, want)
			}
		})
	}
}

func TestNoTokenWithoutAFile(t *testing.T) {
	b := serve(t, tlsfile.Files{})
	if err := b.call(t, open(t, uplink.Flags{}, "127.0.0.1:7600")); err != nil {
		t.Fatal(err)
	}
	if got, _ := b.last(); len(got) > 0 {
		t.Errorf("sent %q", got)
	}
}

// A token for TLS is never sent in plain text, whatever a caller does with the options.
func TestTokenForTLSOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	writeToken(t, path, "first")
	link := open(t, uplink.Flags{TokenFile: path}, "192.0.2.1:7600")
	conn, err := grpc.NewClient("passthrough:///broker", append(link.Dial(), grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err == nil {
		_ = conn.Close()
		t.Error("gRPC would send it")
	}
}
