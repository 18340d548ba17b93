package deploy

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

const root = "../../deploy"

func read(t *testing.T, path string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func decode(t *testing.T, path string, into any) {
	t.Helper()
	if err := yaml.Unmarshal(read(t, path), into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

type labels map[string]string

// within says whether a selector of these labels selects what has the others.
func (l labels) within(others labels) bool {
	for key, value := range l {
		if others[key] != value {
			return false
		}
	}
	return len(l) > 0
}

type selector struct {
	MatchLabels labels `yaml:"matchLabels"`
}

// manifest has the parts of Kubernetes' objects that must fit each other.
type manifest struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string
	Metadata   struct{ Name string }
	Spec       struct {
		PodSelector selector `yaml:"podSelector"`
		Ingress     []struct {
			From []struct {
				PodSelector selector `yaml:"podSelector"`
			}
			Ports []struct{ Port int }
		}
		Ports []struct {
			Port       int
			TargetPort string `yaml:"targetPort"`
		}
		Template struct {
			Metadata struct{ Labels labels }
			Spec     pod
		}
	}
}

type pod struct {
	InitContainers []container `yaml:"initContainers"`
	Containers     []container
}

type container struct {
	Name           string
	Args           []string
	ReadinessProbe probe `yaml:"readinessProbe"`
	LivenessProbe  probe `yaml:"livenessProbe"`
	Ports          []struct {
		Name          string
		ContainerPort int `yaml:"containerPort"`
	}
	VolumeMounts []struct {
		Name      string
		MountPath string `yaml:"mountPath"`
	} `yaml:"volumeMounts"`
}

type probe struct {
	HTTPGet struct{ Path, Port string } `yaml:"httpGet"`
}

func (c container) port(name string) (int, bool) {
	for _, p := range c.Ports {
		if p.Name == name {
			return p.ContainerPort, true
		}
	}
	return 0, false
}

func manifests(t *testing.T, path string) map[string]manifest {
	t.Helper()
	found := map[string]manifest{}
	decoder := yaml.NewDecoder(bytes.NewReader(read(t, path)))
	for {
		var m manifest
		err := decoder.Decode(&m)
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if m.APIVersion == "" || m.Metadata.Name == "" {
			t.Errorf("%s: a %q without apiVersion or name", path, m.Kind)
		}
		found[m.Kind] = m
	}
}

func TestKustomizationNamesEveryFile(t *testing.T) {
	var k struct {
		Resources          []string
		ConfigMapGenerator []struct{ Files []string } `yaml:"configMapGenerator"`
	}
	decode(t, "kubernetes/kustomization.yaml", &k)
	named := append([]string{"kustomization.yaml"}, k.Resources...)
	for _, g := range k.ConfigMapGenerator {
		named = append(named, g.Files...)
	}
	files, err := os.ReadDir(filepath.Join(root, "kubernetes"))
	if err != nil {
		t.Fatal(err)
	}
	var present []string
	for _, f := range files {
		present = append(present, f.Name())
	}
	slices.Sort(named)
	if !slices.Equal(named, present) {
		t.Errorf("kustomization.yaml names %v, the directory has %v", named, present)
	}
}

func TestManifestsFitTogether(t *testing.T) {
	var config brokerConfig
	decode(t, "kubernetes/wxbroker.yaml", &config)
	broker := manifests(t, "kubernetes/broker.yaml")
	policy := manifests(t, "kubernetes/network-policy.yaml")["NetworkPolicy"].Spec
	set, service := broker["StatefulSet"].Spec, broker["Service"].Spec
	app := manifests(t, "kubernetes/example-app.yaml")["Deployment"].Spec

	main := set.Template.Spec.Containers[0]
	for name, address := range map[string]string{"grpc": config.Listen.GRPC, "ops": config.Listen.Ops} {
		port, ok := main.port(name)
		if !ok || !strings.HasSuffix(address, ":"+strconv.Itoa(port)) {
			t.Errorf("the container's port %s is %d, the configuration listens on %s", name, port, address)
		}
		served := false
		for _, p := range service.Ports {
			served = served || p.TargetPort == name && p.Port == port
		}
		if !served {
			t.Errorf("the Service has no port %d for %s", port, name)
		}
	}
	for _, c := range []container{main, app.Template.Spec.InitContainers[0]} {
		for _, p := range []probe{c.ReadinessProbe, c.LivenessProbe} {
			if _, ok := c.port(p.HTTPGet.Port); !ok || p.HTTPGet.Path == "" {
				t.Errorf("%s is probed at %+v, which is none of its ports", c.Name, p.HTTPGet)
			}
		}
	}

	if !policy.PodSelector.MatchLabels.within(set.Template.Metadata.Labels) {
		t.Errorf("the network policy's %v does not select the broker", policy.PodSelector.MatchLabels)
	}
	for _, rule := range policy.Ingress {
		grpc := len(rule.Ports) == 0 // every port
		for _, p := range rule.Ports {
			grpc = grpc || p.Port == 7600
		}
		if !grpc {
			continue
		}
		if len(rule.From) != 1 || !rule.From[0].PodSelector.MatchLabels.within(app.Template.Metadata.Labels) {
			t.Errorf("port 7600 is open for %+v: labelled pods, such as the example's, and nobody else", rule.From)
		}
	}

	mounts := map[string]string{}
	for _, m := range main.VolumeMounts {
		mounts[m.MountPath] = m.Name
	}
	if secret := config.Accounts[0].SecretFile; mounts[filepath.Dir(secret)] != "appsecret" {
		t.Errorf("secret_file %s is not where the Secret is mounted: %v", secret, mounts)
	}
}

func TestUnitGivesTheSecretThatTheConfigurationReads(t *testing.T) {
	var config brokerConfig
	decode(t, "systemd/wxbroker.yaml", &config)
	const unit = "wxbroker.service"
	for _, a := range config.Accounts {
		name, ok := strings.CutPrefix(a.SecretFile, "/run/credentials/"+unit+"/")
		if !ok || !bytes.Contains(read(t, "systemd/"+unit), []byte("\nLoadCredential="+name+":")) {
			t.Errorf("%s loads no credential for secret_file %s", unit, a.SecretFile)
		}
	}
}
