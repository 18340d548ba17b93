package deploy

import (
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/wxbroker/wxbroker/broker/clustertest"
	"github.com/wxbroker/wxbroker/pkg/tlstest"
)

// cluster is as much of Kubernetes as the manifests need: ConfigMaps, Secrets,
// an API server that issues tokens and shows its keys to ServiceAccounts, and a
// kubelet that mounts all that.
type cluster struct {
	namespace string
	issuer    *clustertest.Cluster
	api       *httptest.Server
	ca        *tlstest.CA       // the broker's
	objects   map[string]string // contents by Kind/name/key
	audiences sync.Map          // of the tokens that were issued
	ports     map[string]string // of everything that runs
}

const (
	// databaseKey is what `openssl rand -base64 32` prints.
	databaseKey = "oWbWrfMw5KKEVrudECgP+M1kuFWjhsjp7PEI2+3qzWk=\n"
	// apiAudience is the audience of a token for which none is named.
	apiAudience = clustertest.Issuer
)

// newCluster returns a cluster in which everything that the README says is done.
func newCluster(t *testing.T) *cluster {
	t.Helper()
	var k kustomization
	decode(t, "kubernetes/kustomization.yaml", &k)
	c := &cluster{
		namespace: k.Namespace, issuer: clustertest.New(t, "a"), ca: tlstest.NewCA(t, "broker"),
		objects: map[string]string{}, ports: map[string]string{},
	}
	c.api = httptest.NewTLSServer(http.HandlerFunc(c.showKeys))
	t.Cleanup(c.api.Close)
	c.objects["ConfigMap/kube-root-ca.crt/ca.crt"] = string(tlstest.Encode("CERTIFICATE", c.api.Certificate().Raw))
	for _, g := range k.ConfigMapGenerator {
		for _, file := range g.Files {
			c.objects["ConfigMap/"+g.Name+"/"+file] = read(t, "kubernetes/"+file)
		}
	}
	pair := brokerCertificate(t, c.ca, managedNames(t), nil)
	made := map[string]string{
		"appsecret": appSecret + "\n", "key": databaseKey,
		"tls.crt": string(pair.Cert), "tls.key": string(pair.Key), "ca.crt": string(c.ca.PEM),
	}
	for _, object := range created(t) {
		c.objects[object] = made[filepath.Base(object)]
	}
	return c
}

// brokerCertificate returns a certificate for these names and no others.
func brokerCertificate(t *testing.T, ca *tlstest.CA, names []string, addresses []net.IP) tlstest.Pair {
	t.Helper()
	return ca.Issue(t, func(cert *x509.Certificate) {
		cert.DNSNames, cert.IPAddresses, cert.URIs = names, addresses, nil
		cert.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	})
}

// token issues a token for a ServiceAccount.
func (c *cluster) token(t *testing.T, account, audience string) string {
	t.Helper()
	if audience == "" {
		audience = apiAudience
	}
	token := c.issuer.Token(t, c.namespace, account, clustertest.For(audience))
	c.audiences.Store(token, audience)
	return token
}

// showKeys shows the keys that tokens are verified with, as an API server does: only to
// callers that have a token for it, and with an address for the outside.
func (c *cluster) showKeys(w http.ResponseWriter, r *http.Request) {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if audience, _ := c.audiences.Load(token); audience != apiAudience {
		http.Error(w, "Unauthorized", http.StatusUnauthorized)
		return
	}
	r.Host = "kubernetes.invalid:6443"
	c.issuer.ServeHTTP(w, r)
}

// program returns the program of a container. Its volumes are mounted in directories of
// the test. Volumes that come from a claim are empty.
func (c *cluster) program(t *testing.T, p pod, runs container, claimed ...string) (program, relocation) {
	t.Helper()
	m := relocation{dirs: map[string]string{}, ports: c.ports}
	for _, mount := range runs.VolumeMounts {
		dir := t.TempDir()
		m.dirs[mount.MountPath] = dir
		if slices.Contains(claimed, mount.Name) {
			continue
		}
		for name, content := range c.volume(t, p, mount.Name) {
			write(t, filepath.Join(dir, name), content)
		}
	}
	env := []string{}
	for _, variable := range runs.Env {
		env = append(env, variable.Name+"="+m.text(t, variable.Value))
	}
	return program{name: runs.Name, args: m.texts(t, runs.Args), env: env}, m
}

// volume returns the files of a volume.
func (c *cluster) volume(t *testing.T, p pod, name string) map[string]string {
	t.Helper()
	files := map[string]string{}
	for _, v := range p.Volumes {
		if v.Name != name {
			continue
		}
		if v.Secret.SecretName != "" {
			c.copy(t, files, "Secret/"+v.Secret.SecretName)
		}
		if v.ConfigMap.Name != "" {
			c.copy(t, files, "ConfigMap/"+v.ConfigMap.Name)
		}
		for _, s := range v.Projected.Sources {
			if s.ConfigMap.Name != "" {
				c.copy(t, files, "ConfigMap/"+s.ConfigMap.Name)
			}
			if path := s.ServiceAccountToken.Path; path != "" {
				files[path] = c.token(t, p.ServiceAccountName, s.ServiceAccountToken.Audience)
			}
		}
	}
	if len(files) == 0 {
		t.Fatalf("there is no volume %s, or nothing in it", name)
	}
	return files
}

// copy adds an object's contents to files.
func (c *cluster) copy(t *testing.T, files map[string]string, object string) {
	t.Helper()
	found := false
	for path, content := range c.objects {
		if key, ok := strings.CutPrefix(path, object+"/"); ok {
			files[key], found = content, true
		}
	}
	if !found {
		t.Errorf("%s: nothing creates it, neither kustomization.yaml nor the README", object)
	}
}
