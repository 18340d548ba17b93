package access

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// Audience is the audience that a ServiceAccount token has to be issued for.
const Audience = "wxbroker"

// clockSkew is how far a cluster's clock may be ahead of ours.
const clockSkew = 30 * time.Second

// algorithms are those that Kubernetes and other issuers sign with. All of them
// verify with another key than they sign with, and "none" is not among them.
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.ES256, jose.ES384, jose.ES512, jose.PS256, jose.PS384, jose.PS512, jose.EdDSA,
}

// Kubernetes verifies ServiceAccount tokens of one cluster
// (https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#bound-service-account-tokens).
type Kubernetes struct {
	issuer string
	keys   *keys
	// from says where the keys come from, to tell one source from another.
	from string
}

// NewKubernetes returns a Kubernetes for tokens of that issuer that are signed with
// the keys of source. From describes source in any words: two with equal words have
// the same keys.
func NewKubernetes(issuer, from string, source KeySource) *Kubernetes {
	return &Kubernetes{issuer: issuer, from: from, keys: newKeys(issuer, source)}
}

// looksLikeJWT tells a Kubernetes token from a token that NewToken made: a JWT
// begins with a JSON object in base64.
func looksLikeJWT(token string) bool {
	return strings.HasPrefix(token, "eyJ") && strings.Count(token, ".") == 2
}

// Verify returns the identity for which a token was issued, and when the token expires.
// The error is [ErrNoKeys] when nothing can be said about the token. With any other
// error the identity is still returned if the cluster has issued and signed the token.
// Otherwise it is "".
func (k *Kubernetes) Verify(ctx context.Context, token string, now time.Time) (Identity, time.Time, error) {
	parsed, err := jwt.ParseSigned(token, algorithms)
	if err != nil || len(parsed.Headers) != 1 {
		return "", time.Time{}, errors.New("it is no JSON web token with one signature of a kind that is known")
	}
	var claims jwt.Claims
	signed := func(key jose.JSONWebKey) bool { return parsed.Claims(key.Key, &claims) == nil }
	if err := k.keys.verify(ctx, parsed.Headers[0].KeyID, now, signed); err != nil {
		return "", time.Time{}, err
	}
	id, err := serviceAccount(claims.Subject)
	if err != nil {
		return "", time.Time{}, err
	}
	expires := claims.Expiry.Time()
	switch {
	case claims.Issuer != k.issuer:
		return "", time.Time{}, fmt.Errorf("its issuer is not %s", k.issuer)
	case !claims.Audience.Contains(Audience):
		return id, time.Time{}, fmt.Errorf("it is not for the audience %s: project one that is", Audience)
	case claims.Expiry == nil:
		return id, time.Time{}, errors.New("it has no expiry: use a projected token, which has one")
	case !now.Before(expires):
		return id, time.Time{}, fmt.Errorf("it expired at %s", expires.UTC().Format(time.RFC3339))
	case claims.NotBefore != nil && now.Add(clockSkew).Before(claims.NotBefore.Time()):
		return id, time.Time{}, fmt.Errorf("it is not valid before %s", claims.NotBefore.Time().UTC().Format(time.RFC3339))
	}
	return id, expires, nil
}

// serviceAccount reads a token's subject, system:serviceaccount:NAMESPACE:NAME.
func serviceAccount(subject string) (Identity, error) {
	account, ok := strings.CutPrefix(subject, "system:serviceaccount:")
	if ok {
		if id, err := ParseIdentity(k8sPrefix + account); err == nil {
			return id, nil
		}
	}
	return "", errors.New("its subject is no ServiceAccount")
}
