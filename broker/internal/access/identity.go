package access

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/url"
	"regexp"
	"strings"

	"github.com/wxbroker/wxbroker/pkg/credential"
)

// Identity is what a caller can prove to be, in one of the forms
//
//	spiffe://TRUST-DOMAIN/PATH       a URI name of its client certificate
//	dns:NAME                         a DNS name of its client certificate
//	k8s:NAMESPACE:SERVICEACCOUNT     the ServiceAccount of its Kubernetes token
//	token:sha256:HEX                 the hash of its token
//
// in lower case where case means nothing, so that equal identities are equal
// strings.
type Identity string

const (
	spiffePrefix = "spiffe://"
	dnsPrefix    = "dns:"
	k8sPrefix    = "k8s:"
	tokenPrefix  = "token:sha256:"
)

var (
	dnsForm  = regexp.MustCompile(`^[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$`)
	k8sForm  = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?:[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`)
	hashForm = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// ParseIdentity reads an identity. Its errors quote nothing: somebody may have
// written a token where its hash belongs.
func ParseIdentity(s string) (Identity, error) {
	switch {
	case strings.HasPrefix(s, spiffePrefix):
		u, err := url.Parse(s)
		if id, ok := spiffe(u); err == nil && ok {
			return id, nil
		}
		return "", errors.New("is not a SPIFFE ID such as spiffe://prod/ns/shop/sa/web")
	case strings.HasPrefix(s, dnsPrefix):
		name := strings.ToLower(strings.TrimSuffix(s[len(dnsPrefix):], "."))
		if dnsForm.MatchString(name) {
			return Identity(dnsPrefix + name), nil
		}
		return "", errors.New("is not a DNS name such as dns:web.shop.example.com; one with a wildcard names nobody in particular")
	case strings.HasPrefix(s, k8sPrefix):
		if k8sForm.MatchString(s[len(k8sPrefix):]) {
			return Identity(s), nil
		}
		return "", errors.New("is not a ServiceAccount such as k8s:NAMESPACE:NAME")
	case strings.HasPrefix(s, tokenPrefix):
		if hash := strings.ToLower(s[len(tokenPrefix):]); hashForm.MatchString(hash) {
			return Identity(tokenPrefix + hash), nil
		}
		return "", errors.New("is not token:sha256: and 64 hexadecimal digits: `wxbroker token new APP` prints a token and its line")
	case strings.HasPrefix(s, newTokenPrefix):
		return "", errors.New("is a token itself, by its looks, and now known to whoever reads this file: make a new one with `wxbroker token new APP`, and write the line that it prints")
	}
	return "", errors.New("is not an identity: write spiffe://…, dns:NAME, k8s:NAMESPACE:SERVICEACCOUNT or token:sha256:HASH")
}

// Proof returns how the identity is proven. The configuration has to have what that
// proof needs, such as client CAs for a certificate.
func (id Identity) Proof() Proof {
	switch {
	case strings.HasPrefix(string(id), spiffePrefix), strings.HasPrefix(string(id), dnsPrefix):
		return ByCertificate
	case strings.HasPrefix(string(id), k8sPrefix):
		return ByKubernetes
	default:
		return ByToken
	}
}

// Proof is a way to prove an identity.
type Proof int

// The proofs.
const (
	ByToken Proof = iota
	ByCertificate
	ByKubernetes
)

// String returns the identity. It shows only the beginning of a token's hash. That is
// enough to find its line in the configuration, and more does not belong in a log.
func (id Identity) String() string {
	if hash, ok := strings.CutPrefix(string(id), tokenPrefix); ok {
		return tokenPrefix + hash[:min(8, len(hash))] + "…"
	}
	return string(id)
}

// spiffe returns a URI as an identity, if it has the form of a SPIFFE ID
// (https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE-ID.md).
func spiffe(u *url.URL) (Identity, bool) {
	if u == nil || u.Scheme != "spiffe" || u.Host == "" || u.User != nil || u.Port() != "" || u.Path == "" || u.Path == "/" ||
		u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.RawPath != "" {
		return "", false
	}
	return Identity(spiffePrefix + strings.ToLower(u.Host) + u.Path), true
}

// namesIn returns the identities of a certificate.
func namesIn(cert *x509.Certificate) []Identity {
	var names []Identity
	for _, u := range cert.URIs {
		if id, ok := spiffe(u); ok {
			names = append(names, id)
		}
	}
	for _, name := range cert.DNSNames {
		if id, err := ParseIdentity(dnsPrefix + name); err == nil {
			names = append(names, id)
		}
	}
	return names
}

// Claimed returns the name in a certificate that was not verified, for people. It
// returns "" where the certificate has none.
func Claimed(cert *x509.Certificate) string {
	if names := namesIn(cert); len(names) > 0 {
		return names[0].String() + " (not verified)"
	}
	return ""
}

// newTokenPrefix lets people and secret scanners recognise a token of the broker's.
const newTokenPrefix = "wxb_"

// NewToken returns a token that cannot be guessed, and the identity that it proves. The
// hash needs no salt, because the token is as random as a key.
func NewToken() (credential.Secret, Identity) {
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails
	token := newTokenPrefix + base64.RawURLEncoding.EncodeToString(random[:])
	return credential.NewSecret(token), tokenIdentity(token)
}

// tokenIdentity returns the identity that a token proves.
func tokenIdentity(token string) Identity {
	sum := sha256.Sum256([]byte(token))
	return Identity(tokenPrefix + hex.EncodeToString(sum[:]))
}
