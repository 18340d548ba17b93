package access

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/wxbroker/wxbroker/pkg/daemon"
	"github.com/wxbroker/wxbroker/pkg/follow"
)

// maxKeys bounds a file or an answer with keys, in bytes.
const maxKeys = 1 << 20

// KeyFile returns the keys of a file, as [ReadKeyFile] does.
func KeyFile(path string) KeySource {
	return func(ctx context.Context, _ string) ([]jose.JSONWebKey, error) { return ReadKeyFile(ctx, path) }
}

// ReadKeyFile reads a JSON web key set, as a cluster has it at /openid/v1/jwks,
// or public keys in PEM form, as kube-apiserver's --service-account-key-file.
func ReadKeyFile(ctx context.Context, path string) ([]jose.JSONWebKey, error) {
	file, err := follow.Read(ctx, path, maxKeys)
	if err != nil {
		return nil, fmt.Errorf("reading the cluster's keys: %w", err)
	}
	found, err := publicKeys(file.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return found, nil
}

// publicKeys reads a JSON web key set or PEM. It skips what is not a public key.
func publicKeys(raw []byte) ([]jose.JSONWebKey, error) {
	var found []jose.JSONWebKey
	for rest := raw; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if key, err := x509.ParsePKIXPublicKey(block.Bytes); err == nil {
			found = append(found, jose.JSONWebKey{Key: key})
		}
	}
	var set jose.JSONWebKeySet
	if len(found) == 0 && json.Unmarshal(raw, &set) == nil {
		for _, key := range set.Keys {
			if key.IsPublic() && key.Valid() {
				found = append(found, key)
			}
		}
	}
	if len(found) == 0 {
		return nil, errors.New("it holds no public key, neither as a JSON web key set nor as PEM")
	}
	return found, nil
}

// discoveryPath is where an issuer says where its keys are
// (https://openid.net/specs/openid-connect-discovery-1_0.html).
const discoveryPath = "/.well-known/openid-configuration"

// Discovery is an issuer's discovery document. Its files are read each time,
// since clusters renew them.
type Discovery struct {
	// URL is the document's. It may lack the usual path.
	URL string
	// CAFile has the CAs that are trusted, "" for the system's.
	CAFile string
	// TokenFile holds a token for the API server, which by default does not show
	// its keys to everybody. With "" no token is presented.
	TokenFile string
}

// Keys returns the keys that the document leads to.
func (d Discovery) Keys() KeySource {
	return func(ctx context.Context, issuer string) ([]jose.JSONWebKey, error) {
		client, err := d.client(ctx)
		if err != nil {
			return nil, err
		}
		address := d.URL
		if !strings.HasSuffix(address, discoveryPath) {
			address = strings.TrimSuffix(address, "/") + discoveryPath
		}
		var document struct {
			Issuer  string `json:"issuer"`
			JWKSURI string `json:"jwks_uri"`
		}
		raw, err := d.get(ctx, client, address)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(raw, &document); err != nil {
			return nil, fmt.Errorf("%s is no discovery document", address)
		}
		if document.Issuer != issuer {
			return nil, fmt.Errorf("%s names another issuer than %s", address, issuer)
		}
		keys := d.keysAddress(strings.TrimSuffix(address, discoveryPath), document.JWKSURI)
		if raw, err = d.get(ctx, client, keys); err != nil {
			return nil, err
		}
		found, err := publicKeys(raw)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", keys, err)
		}
		return found, nil
	}
}

// keysPath is where an API server shows its keys.
const keysPath = "/openid/v1/jwks"

// keysAddress returns where to read the keys for which a server's document names
// the address named. Where we have a token, the server is an API server. The
// address that an API server names is for the outside: it is often out of reach
// from inside the cluster, and our token is not meant for that host. The API server
// shows the same keys beside its document.
func (d Discovery) keysAddress(server, named string) string {
	u, err := url.Parse(named)
	if d.TokenFile == "" || err != nil || u.Path != keysPath {
		return named
	}
	return server + keysPath
}

func (d Discovery) client(ctx context.Context) (*http.Client, error) {
	var cas *x509.CertPool
	if d.CAFile != "" {
		file, err := follow.Read(ctx, d.CAFile, maxKeys)
		if err != nil {
			return nil, err
		}
		if cas = x509.NewCertPool(); !cas.AppendCertsFromPEM(file.Bytes) {
			return nil, fmt.Errorf("%s holds no certificate in PEM form", d.CAFile)
		}
	}
	return &http.Client{
		Transport: &http.Transport{
			Proxy:             http.ProxyFromEnvironment,
			TLSClientConfig:   &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: cas},
			DisableKeepAlives: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// get fetches address. Our token goes to the document's own host alone.
func (d Discovery) get(ctx context.Context, client *http.Client, address string) ([]byte, error) {
	target, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("the address of the keys cannot be read")
	}
	if err := CheckKeyURL(target); err != nil {
		return nil, fmt.Errorf("%s %w", target.Redacted(), err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	if own, err := url.Parse(d.URL); err == nil && d.TokenFile != "" && own.Scheme == target.Scheme && own.Host == target.Host {
		token, err := follow.Read(ctx, d.TokenFile, maxToken)
		if err != nil {
			return nil, err
		}
		request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token.Bytes)))
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers HTTP %d", target.Redacted(), response.StatusCode)
	}
	return io.ReadAll(io.LimitReader(response.Body, maxKeys))
}

// CheckKeyURL returns why keys cannot be read safely from an address, nil if they can.
// An attacker that can change the keys on the way can pretend to be anybody.
func CheckKeyURL(u *url.URL) error {
	switch {
	case u.Host == "" || u.User != nil:
		return errors.New("is no address such as https://kubernetes.default.svc")
	case u.Scheme == "https" || u.Scheme == "http" && daemon.IsLoopbackHost(u.Hostname()):
		return nil
	default:
		return errors.New("is not https: somebody on the way could replace the keys, and then pass for any app")
	}
}
