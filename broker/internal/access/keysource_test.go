package access_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/wxbroker/wxbroker/broker/clustertest"
	"github.com/wxbroker/wxbroker/broker/internal/access"
)

// TestKeyFiles: what a file of keys may look like.
func TestKeyFiles(t *testing.T) {
	cluster := clustertest.New(t, "one")
	private, err := json.Marshal(privateKey(t))
	if err != nil {
		t.Fatal(err)
	}
	public := `-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEVs/o5+uQbTjL3chynL4wXgUg2R9
q9UU8I5mEovUf86QZ7kOBIjJwqnzD1omageEHWwHdBO6B+dFabmdT9POxg==
-----END PUBLIC KEY-----
`
	for _, tt := range []struct {
		name, content string
		keys          int
		says          string
	}{
		{"a key set", string(cluster.Keys(t)), 1, ""},
		{"PEM", public, 1, ""},
		{"two in PEM", public + public, 2, ""},
		{"nothing", "", 0, "the file is empty"},
		{"an empty set", `{"keys":[]}`, 0, "no public key"},
		{"a secret", `{"keys":[{"kty":"oct","k":"AAAA"}]}`, 0, "no public key"},
		{"a private key", `{"keys":[` + string(private) + `]}`, 0, "no public key"},
		{"too much", strings.Repeat(" ", 1<<20+1), 0, "more than"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "keys")
			if err := os.WriteFile(path, []byte(tt.content), 0o600); err != nil {
				t.Fatal(err)
			}
			keys, err := access.KeyFile(path)(t.Context(), clustertest.Issuer)
			if len(keys) != tt.keys || (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%d keys, %v", len(keys), err)
			}
		})
	}
}

func privateKey(t *testing.T) jose.JSONWebKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return jose.JSONWebKey{Key: key, KeyID: "private"}
}

// TestDiscovery: what may go wrong on the way to the keys.
func TestDiscovery(t *testing.T) {
	cluster := clustertest.New(t, "one")
	tokenFile := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(tokenFile, []byte("own\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		path   string // asked for
		answer func(w http.ResponseWriter, r *http.Request)
		says   string
	}{
		{"the issuer's address", "", cluster.ServeHTTP, ""},
		{"the same with a slash", "/", cluster.ServeHTTP, ""},
		{"the document's address", "/.well-known/openid-configuration", cluster.ServeHTTP, ""},
		{"our token", "", func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "Bearer own" {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			cluster.ServeHTTP(w, r)
		}, ""},
		{"an API server's address for the outside", "", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/openid/v1/jwks" {
				cluster.ServeHTTP(w, r)
				return
			}
			_, _ = w.Write([]byte(`{"issuer":"` + clustertest.Issuer + `","jwks_uri":"https://kubernetes.invalid:6443/openid/v1/jwks"}`))
		}, ""},
		{"refused", "", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }, "HTTP 403"},
		{"another issuer", "", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"issuer":"https://other","jwks_uri":"x"}`))
		}, "another issuer"},
		{"no document", "", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`<html>`)) }, "no discovery document"},
		{"keys in plain text", "", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"issuer":"` + clustertest.Issuer + `","jwks_uri":"http://example.com/keys"}`))
		}, "is not https"},
		{"elsewhere", "", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://example.com", http.StatusFound)
		}, "HTTP 302"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(tt.answer))
			defer server.Close()
			keys, err := access.Discovery{URL: server.URL + tt.path, TokenFile: tokenFile}.Keys()(t.Context(), clustertest.Issuer)
			if tt.says == "" && (err != nil || len(keys) != 1) || tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)) {
				t.Errorf("%d keys, %v", len(keys), err)
			}
		})
	}
}

// TestOurTokenIsForTheAPIServerAlone: a document may name any address for the keys.
// Nobody at another address may see our ServiceAccount's token.
func TestOurTokenIsForTheAPIServerAlone(t *testing.T) {
	cluster := clustertest.New(t, "one")
	tokenFile := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(tokenFile, []byte("own\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const own, none, notAsked = "Bearer own", "", "not asked"
	for _, tt := range []struct {
		name      string
		tokenFile string
		keysAt    string // HERE is the server of the document, THERE another
		here      string // the token that HERE is shown when it is asked for the keys
		there     string
		says      string
	}{
		{"at the same server", tokenFile, "HERE/keys", own, notAsked, ""},
		{"at the same server, and no token", "", "HERE/keys", none, notAsked, ""},
		{"at another server", tokenFile, "THERE/keys", notAsked, none, ""},
		{"at another server, and no token", "", "THERE/openid/v1/jwks", notAsked, none, ""},
		{"at an API server's address for the outside", tokenFile, "THERE/openid/v1/jwks", own, notAsked, ""},
		{"with a password", tokenFile, "http://user:hunter2@127.0.0.1:1/keys", notAsked, notAsked, "is no address such as"},
		{"nowhere", tokenFile, "/keys", notAsked, notAsked, "is no address such as"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := map[string]string{"here": notAsked, "there": notAsked}
			keys := func(who string, r *http.Request, w http.ResponseWriter) {
				got[who] = r.Header.Get("Authorization")
				_, _ = w.Write(cluster.Keys(t))
			}
			there := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { keys("there", r, w) }))
			defer there.Close()
			var address string
			here := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if !strings.HasPrefix(r.URL.Path, "/.well-known/") {
					keys("here", r, w)
					return
				}
				_, _ = w.Write([]byte(`{"issuer":"` + clustertest.Issuer + `","jwks_uri":"` + address + `"}`))
			}))
			defer here.Close()
			address = strings.NewReplacer("HERE", here.URL, "THERE", there.URL).Replace(tt.keysAt)
			found, err := access.Discovery{URL: here.URL, TokenFile: tt.tokenFile}.Keys()(t.Context(), clustertest.Issuer)
			if tt.says == "" && (err != nil || len(found) != 1) || tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)) {
				t.Errorf("%d keys, %v", len(found), err)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error shows the password: %v", err)
			}
			if got["here"] != tt.here || got["there"] != tt.there {
				t.Errorf("the keys' servers were shown %q, want %q here and %q there", got, tt.here, tt.there)
			}
		})
	}
}

// TestKeysWithoutAnEnd: reading stops at a limit, however much a server sends.
func TestKeysWithoutAnEnd(t *testing.T) {
	for _, endless := range []string{"/.well-known/openid-configuration", "/openid/v1/jwks"} {
		t.Run(endless, func(t *testing.T) {
			cluster := clustertest.New(t, "one")
			const much = 64 << 20 // ten times what is on its way when reading stops
			sent := make(chan int, 1)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != endless {
					cluster.ServeHTTP(w, r)
					return
				}
				chunk, n := []byte(strings.Repeat(" ", 1<<16)), 0
				for n < much {
					wrote, err := w.Write(chunk)
					if n += wrote; err != nil {
						break
					}
				}
				sent <- n
			}))
			defer server.Close()
			keys, err := access.Discovery{URL: server.URL}.Keys()(t.Context(), clustertest.Issuer)
			if err == nil {
				t.Errorf("%d keys", len(keys))
			}
			if n := <-sent; n >= much/2 {
				t.Errorf("it reads %d bytes", n)
			}
		})
	}
}
