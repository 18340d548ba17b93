// Package clustertest issues ServiceAccount tokens as a Kubernetes cluster
// does, for tests.
package clustertest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// Issuer is the issuer of every Cluster's tokens.
const Issuer = "https://kubernetes.default.svc.cluster.local"

// Cluster signs tokens. Make it with New.
type Cluster struct {
	key jose.JSONWebKey
}

// New returns a Cluster with a key of its own, of that name.
func New(t testing.TB, keyID string) *Cluster {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &Cluster{jose.JSONWebKey{Key: private, KeyID: keyID, Algorithm: string(jose.ES256), Use: "sig"}}
}

// Keys returns the cluster's key set, as it is at /openid/v1/jwks.
func (c *Cluster) Keys(t testing.TB) []byte {
	t.Helper()
	raw, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{c.key.Public()}})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// KeysFile writes the key set to a file and returns its path.
func (c *Cluster) KeysFile(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "jwks.json")
	if err := os.WriteFile(path, c.Keys(t), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// ServeHTTP serves discovery document and key set; the latter's address is the
// host that was asked.
func (c *Cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	var answer any
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		answer = map[string]string{"issuer": Issuer, "jwks_uri": scheme + "://" + r.Host + "/openid/v1/jwks"}
	case "/openid/v1/jwks":
		answer = jose.JSONWebKeySet{Keys: []jose.JSONWebKey{c.key.Public()}}
	default:
		http.NotFound(w, r)
		return
	}
	_ = json.NewEncoder(w).Encode(answer) //nolint:errchkjson // the caller has gone
}

// Token returns a token for a ServiceAccount, good for ten minutes and for the
// audience wxbroker, unless change says otherwise.
func (c *Cluster) Token(t testing.TB, namespace, account string, change ...func(*jwt.Claims)) string {
	t.Helper()
	now := time.Now()
	claims := jwt.Claims{
		Issuer: Issuer, Subject: "system:serviceaccount:" + namespace + ":" + account, Audience: jwt.Audience{"wxbroker"},
		IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(10 * time.Minute)),
	}
	for _, f := range change {
		f(&claims)
	}
	return c.Sign(t, claims)
}

// Sign returns a token that says anything at all.
func (c *Cluster) Sign(t testing.TB, claims any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: c.key}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// For returns a change of a token's audience.
func For(audience ...string) func(*jwt.Claims) {
	return func(c *jwt.Claims) { c.Audience = audience }
}

// Until returns a change of when it expires.
func Until(expiry time.Time) func(*jwt.Claims) {
	return func(c *jwt.Claims) { c.Expiry = jwt.NewNumericDate(expiry) }
}
