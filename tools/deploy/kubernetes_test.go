package deploy

import (
	"crypto/x509"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wxbroker/wxbroker/pkg/tlstest"
)

// TestKubernetes runs the programs of the manifests' pods.
func TestKubernetes(t *testing.T) {
	c, wechat := newCluster(t), newWeChat(t)
	broker, files := c.broker(t, wechat)
	running := broker.start(t)
	running.ready(t, c.ports["7601"])
	edge, _ := c.edge(t)
	edge.start(t).ready(t, c.ports["7611"])
	wechat.accepts(t, c.ports["7610"])
	if said := running.output.String(); strings.Contains(said, "level=WARN") || strings.Contains(said, "level=ERROR") {
		t.Error("the broker is not content with the example")
	}

	// kubectl exec: the container's variables, and nothing else.
	status := program{name: broker.name, args: []string{"status"}, env: broker.env}
	if out, err := status.run(t); err != nil || !strings.Contains(out, appid) || strings.Contains(out, "!") {
		t.Errorf("status: %v\n%s", err, out)
	}
	token := files.text(t, "/run/secrets/serviceaccount/wxbroker-token")
	for _, tt := range []struct{ name, account, audience, says string }{
		{"an app", "example-app", "wxbroker", "has not been granted admin"},
		{"another account", "another", "wxbroker", "no app has the identity k8s:" + c.namespace + ":another"},
		{"a token for the API server", "wxbroker", "", "it is not for the audience wxbroker"},
	} {
		other := filepath.Join(t.TempDir(), "token")
		write(t, other, c.token(t, tt.account, tt.audience))
		if out, err := status.with(token, other).run(t); err == nil || !strings.Contains(out, tt.says) {
			t.Errorf("%s asks for the status: %v, want %q\n%s", tt.name, err, tt.says, out)
		}
	}

	stranger, itsFiles := c.edge(t)
	write(t, itsFiles.text(t, "/run/secrets/wxbroker/token"), c.token(t, "another", "wxbroker"))
	refused := stranger.with(":"+c.ports["7610"], ":0").with(":"+c.ports["7611"], ":0").start(t)
	refused.says(t, "no app has the identity k8s:"+c.namespace+":another")
	if strings.Contains(refused.output.String(), "holding") {
		t.Error("an edge that nobody has heard of has been given something")
	}
}

// TestKubernetesByCertificate does what the README says of client certificates.
func TestKubernetesByCertificate(t *testing.T) {
	c, wechat := newCluster(t), newWeChat(t)
	broker, files := c.broker(t, wechat)
	edit(t, files.text(t, "/etc/wxbroker/wxbroker.yaml"), func(config string) string {
		config = strings.Replace(config, "# client_ca_file:", "client_ca_file:", 1)
		return strings.Replace(config, "k8s:"+c.namespace+":example-app", tlstest.URI, 1)
	})
	broker.start(t).ready(t, c.ports["7601"])

	pair := c.ca.Issue(t, func(cert *x509.Certificate) {
		cert.DNSNames, cert.IPAddresses, cert.ExtKeyUsage = nil, nil, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	})
	cert, key := pair.Write(t, t.TempDir())
	edge, files := c.edge(t)
	edge = edge.with("--token-file="+files.text(t, "/run/secrets/wxbroker/token"), "--cert-file="+cert)
	edge.args = append(edge.args, "--key-file="+key)
	edge.start(t).ready(t, c.ports["7611"])
	wechat.accepts(t, c.ports["7610"])
}

// broker returns the broker of the manifests, with WeChat and the API server
// where they are in this test.
func (c *cluster) broker(t *testing.T, wechat wechat) (program, relocation) {
	t.Helper()
	set := manifests(t, "kubernetes/broker.yaml")["StatefulSet"].Spec
	var claimed []string
	for _, claim := range set.VolumeClaimTemplates {
		claimed = append(claimed, claim.Metadata.Name)
	}
	broker, files := c.program(t, set.Template.Spec, set.Template.Spec.Containers[0], claimed...)
	edit(t, files.text(t, "/etc/wxbroker/wxbroker.yaml"), func(config string) string {
		config = strings.Replace(config, "discovery_url: https://kubernetes.default.svc\n", "discovery_url: "+c.api.URL+"\n", 1)
		return files.text(t, config) + wechat.upstreams()
	})
	return broker, files
}

// edge returns the example app's edge. Its --broker is a name that only a cluster knows.
// The broker's certificate is still verified for that name.
func (c *cluster) edge(t *testing.T) (program, relocation) {
	t.Helper()
	p := appPod(t)
	edge, files := c.program(t, p, p.InitContainers[0])
	edge = edge.with("--broker=wxbroker:", "--broker=127.0.0.1:")
	edge.args = append(edge.args, "--server-name=wxbroker")
	return edge, files
}
