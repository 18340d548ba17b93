package access_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/wxbroker/wxbroker/broker/clustertest"
	"github.com/wxbroker/wxbroker/broker/internal/access"
)

func TestVerify(t *testing.T) {
	cluster, foreign := clustertest.New(t, "one"), clustertest.New(t, "one")
	k := access.NewKubernetes(clustertest.Issuer, access.KeyFile(cluster.KeysFile(t)))
	now := time.Now()
	good := cluster.Token(t, "shop", "web")
	unsigned := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + strings.Split(good, ".")[1] + "."
	for _, tt := range []struct {
		name, token string
		identity    access.Identity // "" is refused
		says        string
	}{
		{"ours", good, "k8s:shop:web", ""},
		{"for several audiences", cluster.Token(t, "shop", "web", clustertest.For("vault", "wxbroker")), "k8s:shop:web", ""},
		{"for another audience", cluster.Token(t, "shop", "web", clustertest.For("vault")), "", "not for the audience wxbroker"},
		{"for no audience", cluster.Token(t, "shop", "web", clustertest.For()), "", "not for the audience wxbroker"},
		{"expired", cluster.Token(t, "shop", "web", clustertest.Until(now.Add(-time.Second))), "", "expired at"},
		{"eternal", cluster.Token(t, "shop", "web", func(c *jwt.Claims) { c.Expiry = nil }), "", "never expires"},
		{"from the future", cluster.Token(t, "shop", "web", func(c *jwt.Claims) { c.NotBefore = jwt.NewNumericDate(now.Add(time.Hour)) }), "", "not valid before"},
		{"from a clock a little ahead", cluster.Token(t, "shop", "web", func(c *jwt.Claims) { c.NotBefore = jwt.NewNumericDate(now.Add(10 * time.Second)) }), "k8s:shop:web", ""},
		{"of another issuer", cluster.Token(t, "shop", "web", func(c *jwt.Claims) { c.Issuer = "https://other" }), "", "its issuer is not"},
		{"of another cluster with the same key name", foreign.Token(t, "shop", "web"), "", "none of the cluster's keys"},
		{"of another cluster", clustertest.New(t, "two").Token(t, "shop", "web"), "", "no key of the name"},
		{"of a person", cluster.Token(t, "", "", func(c *jwt.Claims) { c.Subject = "jane" }), "", "no ServiceAccount"},
		{"of a strange ServiceAccount", cluster.Token(t, "shop:web", "x"), "", "no ServiceAccount"},
		{"unsigned", unsigned, "", "no JSON web token"},
		{"changed", good[:len(good)-8] + "AAAAAAAA", "", "none of the cluster's keys"},
		{"cut off", good[:20], "", "no JSON web token"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			id, expires, err := k.Verify(t.Context(), tt.token, now)
			switch {
			case tt.says == "" && (err != nil || id != tt.identity || expires.Sub(now) < 9*time.Minute):
				t.Errorf("%s until %v, %v", id, expires, err)
			case tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)):
				t.Errorf("got %v, want %q", err, tt.says)
			case err != nil && strings.Contains(err.Error(), tt.token):
				t.Error("the error shows the token")
			}
		})
	}
}

// TestSymmetricKeys: whoever may read the keys must not be able to sign.
func TestSymmetricKeys(t *testing.T) {
	key := []byte("0123456789abcdef0123456789abcdef")
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	claims := jwt.Claims{
		Issuer: clustertest.Issuer, Subject: "system:serviceaccount:shop:web", Audience: jwt.Audience{"wxbroker"},
		Expiry: jwt.NewNumericDate(time.Now().Add(time.Hour)),
	}
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	k := access.NewKubernetes(clustertest.Issuer, func(context.Context, string) ([]jose.JSONWebKey, error) {
		return []jose.JSONWebKey{{Key: key}}, nil
	})
	if id, _, err := k.Verify(t.Context(), token, time.Now()); err == nil {
		t.Errorf("taken for %s", id)
	}
}

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

// TestKeysAreReadAgain as they change, and not for every token of a stranger;
// and while they cannot be read, those that are known serve for a day.
func TestKeysAreReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := clustertest.New(t, "first"), clustertest.New(t, "second")
		current, reads, failure := first, 0, error(nil)
		k := access.NewKubernetes(clustertest.Issuer, func(ctx context.Context, issuer string) ([]jose.JSONWebKey, error) {
			reads++
			if failure != nil {
				return nil, failure
			}
			return access.KeyFile(current.KeysFile(t))(ctx, issuer)
		})
		check := func(c *clustertest.Cluster, ok bool, wantReads int) {
			t.Helper()
			_, _, err := k.Verify(t.Context(), c.Token(t, "shop", "web"), time.Now())
			if (err == nil) != ok {
				t.Errorf("%v", err)
			}
			if reads != wantReads {
				t.Errorf("the keys were read %d times, want %d", reads, wantReads)
			}
		}
		check(first, true, 1)
		check(first, true, 1)
		current = second
		check(second, false, 1) // too soon
		time.Sleep(10 * time.Second)
		check(second, true, 2)
		check(first, false, 2) // it was withdrawn
		for range 100 {
			check(clustertest.New(t, "stranger"), false, 2)
		}
		time.Sleep(6 * time.Minute)
		check(second, true, 3)
		failure = errors.New("the API server is away")
		time.Sleep(23 * time.Hour)
		check(second, true, 4)
		time.Sleep(2 * time.Hour)
		if _, _, err := k.Verify(t.Context(), second.Token(t, "shop", "web"), time.Now()); !errors.Is(err, access.ErrNoKeys) {
			t.Errorf("a day and an hour later: %v", err)
		}
		failure = nil
		time.Sleep(10 * time.Second)
		if _, _, err := k.Verify(t.Context(), second.Token(t, "shop", "web"), time.Now()); err != nil {
			t.Error(err)
		}
	})
}
