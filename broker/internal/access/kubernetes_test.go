package access_test

import (
	"context"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/wxbroker/wxbroker/broker/clustertest"
	"github.com/wxbroker/wxbroker/broker/internal/access"
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
		{"eternal", cluster.Token(t, "shop", "web", func(c *jwt.Claims) { c.Expiry = nil }), "", "no expiry"},
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
