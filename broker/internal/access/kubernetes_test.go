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

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/broker/clustertest"
	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/pkg/credential"
)

func TestVerify(t *testing.T) {
	cluster, foreign := clustertest.New(t, "one"), clustertest.New(t, "one")
	k := access.NewKubernetes(clustertest.Issuer, "a test", access.KeyFile(cluster.KeysFile(t)))
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
		{"of another cluster", clustertest.New(t, "two").Token(t, "shop", "web"), "", "not there yet"},
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
	k := access.NewKubernetes(clustertest.Issuer, "a test", func(context.Context, string) ([]jose.JSONWebKey, error) {
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

// cluster's keys, as a test changes them.
type changingKeys struct {
	t       *testing.T
	current []jose.JSONWebKey
	failure error
	delay   time.Duration
	reads   int
}

func (c *changingKeys) source(context.Context, string) ([]jose.JSONWebKey, error) {
	c.reads++
	time.Sleep(c.delay)
	return c.current, c.failure
}

func keysOf(t *testing.T, cluster *clustertest.Cluster) []jose.JSONWebKey {
	t.Helper()
	found, err := access.ReadKeyFile(t.Context(), cluster.KeysFile(t))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestKeysAreReadAgain as they change, and not for every token of a stranger;
// and while they cannot be read, those that are known serve for a day. Nobody
// is refused for good whose key may be there at the next reading.
func TestKeysAreReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := clustertest.New(t, "first"), clustertest.New(t, "second")
		k8s := &changingKeys{t: t, current: keysOf(t, first)}
		k := access.NewKubernetes(clustertest.Issuer, "a test", k8s.source)
		check := func(c *clustertest.Cluster, want string, wantReads int) {
			t.Helper()
			_, _, err := k.Verify(t.Context(), c.Token(t, "shop", "web"), time.Now())
			got := "taken"
			switch {
			case errors.Is(err, access.ErrNoKeys):
				got = "unknown"
			case err != nil:
				got = "refused"
			}
			synctest.Wait()
			if got != want || k8s.reads != wantReads {
				t.Errorf("%s (%v) after %d readings, want %s after %d", got, err, k8s.reads, want, wantReads)
			}
		}
		check(first, "taken", 1)
		check(first, "taken", 1)
		k8s.current = keysOf(t, second)
		check(second, "unknown", 1) // too soon
		time.Sleep(10 * time.Second)
		check(second, "taken", 2)
		check(first, "unknown", 2) // it was withdrawn, or is another new one
		time.Sleep(10 * time.Second)
		check(first, "refused", 3)
		for range 100 {
			check(clustertest.New(t, "stranger"), "unknown", 3)
		}
		check(clustertest.New(t, "second"), "refused", 3) // a forgery
		time.Sleep(6 * time.Minute)
		check(second, "taken", 4)
		k8s.failure = errors.New("the API server is away")
		time.Sleep(23 * time.Hour)
		check(second, "taken", 5)
		check(clustertest.New(t, "stranger"), "unknown", 5)
		time.Sleep(2 * time.Hour)
		check(second, "unknown", 6)
		k8s.failure = nil
		time.Sleep(10 * time.Second)
		check(second, "taken", 7)
	})
}

// TestKnownKeysDoNotWait for a server that hangs.
func TestKnownKeysDoNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := clustertest.New(t, "one")
		k8s := &changingKeys{t: t, current: keysOf(t, cluster)}
		k := access.NewKubernetes(clustertest.Issuer, "a test", k8s.source)
		verify := func(c *clustertest.Cluster) (time.Duration, error) {
			start := time.Now()
			_, _, err := k.Verify(t.Context(), c.Token(t, "shop", "web"), start)
			return time.Since(start), err
		}
		if _, err := verify(cluster); err != nil {
			t.Fatal(err)
		}
		k8s.delay = 4 * time.Second
		time.Sleep(6 * time.Minute)
		if took, err := verify(cluster); took > 0 || err != nil {
			t.Errorf("it took %v: %v", took, err)
		}
		if took, err := verify(clustertest.New(t, "other")); took != 4*time.Second || err == nil {
			t.Errorf("an unknown key took %v: %v", took, err)
		}
	})
}

// TestKeysWithoutNames: a key that was added to a PEM file is one that is not
// known.
func TestKeysWithoutNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := clustertest.New(t, "first"), clustertest.New(t, "second")
		unnamed := func(clusters ...*clustertest.Cluster) (keys []jose.JSONWebKey) {
			for _, c := range clusters {
				key := keysOf(t, c)[0]
				keys = append(keys, jose.JSONWebKey{Key: key.Key})
			}
			return keys
		}
		k8s := &changingKeys{t: t, current: unnamed(first)}
		k := access.NewKubernetes(clustertest.Issuer, "a test", k8s.source)
		if _, _, err := k.Verify(t.Context(), first.Token(t, "shop", "web"), time.Now()); err != nil {
			t.Fatal(err)
		}
		k8s.current = unnamed(first, second)
		time.Sleep(10 * time.Second)
		for _, c := range []*clustertest.Cluster{second, first} {
			if _, _, err := k.Verify(t.Context(), c.Token(t, "shop", "web"), time.Now()); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestANewPolicyKnowsTheSameClusterOnly: what another file says is not what
// this one said.
func TestANewPolicyKnowsTheSameClusterOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := clustertest.New(t, "one")
		away := func(context.Context, string) ([]jose.JSONWebKey, error) { return nil, errors.New("away") }
		app := access.App{Name: "web", Identities: []access.Identity{"k8s:shop:web"}}
		old := mustPolicy(t, access.NewKubernetes(clustertest.Issuer, "here", access.KeyFile(cluster.KeysFile(t))), app)
		if err := old.Check(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
		for from, want := range map[string]codes.Code{"here": codes.OK, "elsewhere": codes.Unavailable} {
			next := mustPolicy(t, access.NewKubernetes(clustertest.Issuer, from, away), app)
			next.Succeed(old, time.Now())
			control := access.NewControl(next, credential.WallClock)
			_, err := control.Identify(call{headers: bearer(cluster.Token(t, "shop", "web"))}.context(t))
			if status.Code(err) != want {
				t.Errorf("%s: %v, want %v", from, err, want)
			}
		}
	})
}
