package deploy

import (
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

func decode(t *testing.T, path string, into any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(read(t, path)), into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

type labels map[string]string

// within reports whether a selector with these labels selects an object with the others.
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

// manifest has the parts of Kubernetes' objects that have to fit together.
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
		VolumeClaimTemplates []struct{ Metadata struct{ Name string } } `yaml:"volumeClaimTemplates"`
	}
}

type pod struct {
	ServiceAccountName string      `yaml:"serviceAccountName"`
	InitContainers     []container `yaml:"initContainers"`
	Containers         []container
	Volumes            []volume
}

type container struct {
	Name           string
	Args           []string
	Env            []struct{ Name, Value string }
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

type volume struct {
	Name      string
	ConfigMap configMap `yaml:"configMap"`
	Secret    struct {
		SecretName string `yaml:"secretName"`
	}
	Projected struct {
		Sources []struct {
			ConfigMap           configMap                       `yaml:"configMap"`
			ServiceAccountToken struct{ Path, Audience string } `yaml:"serviceAccountToken"`
		}
	}
}

type configMap struct{ Name string }

func (c container) port(name string) (int, bool) {
	for _, p := range c.Ports {
		if p.Name == name {
			return p.ContainerPort, true
		}
	}
	return 0, false
}

// manifests returns a file's objects by kind.
func manifests(t *testing.T, path string) map[string]manifest {
	t.Helper()
	found := map[string]manifest{}
	decoder := yaml.NewDecoder(strings.NewReader(read(t, path)))
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

func appPod(t *testing.T) pod {
	t.Helper()
	return manifests(t, "kubernetes/example-app.yaml")["Deployment"].Spec.Template.Spec
}

type kustomization struct {
	Namespace          string
	Resources          []string
	ConfigMapGenerator []struct {
		Name    string
		Files   []string
		Options struct {
			DisableNameSuffixHash bool `yaml:"disableNameSuffixHash"`
		}
	} `yaml:"configMapGenerator"`
}

func TestKustomizationNamesEveryFile(t *testing.T) {
	var k kustomization
	decode(t, "kubernetes/kustomization.yaml", &k)
	named := append([]string{"kustomization.yaml"}, k.Resources...)
	for _, g := range k.ConfigMapGenerator {
		named = append(named, g.Files...)
		if !g.Options.DisableNameSuffixHash {
			t.Errorf("each change of the ConfigMap %s would restart the broker, which reads it again by itself", g.Name)
		}
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
	var config struct {
		Listen struct{ GRPC, Ops string }
	}
	decode(t, "kubernetes/wxbroker.yaml", &config)
	broker := manifests(t, "kubernetes/broker.yaml")
	policy := manifests(t, "kubernetes/network-policy.yaml")["NetworkPolicy"].Spec
	set, service := broker["StatefulSet"].Spec, broker["Service"].Spec
	example := manifests(t, "kubernetes/example-app.yaml")
	app := example["Deployment"].Spec

	main, edge := set.Template.Spec.Containers[0], app.Template.Spec.InitContainers[0]
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
	for _, c := range []container{main, edge} {
		for _, p := range []probe{c.ReadinessProbe, c.LivenessProbe} {
			if _, ok := c.port(p.HTTPGet.Port); !ok || p.HTTPGet.Path == "" {
				t.Errorf("%s is probed at %+v, which is none of its ports", c.Name, p.HTTPGet)
			}
		}
	}
	for _, file := range []map[string]manifest{broker, example} {
		for kind, m := range file {
			if name := m.Spec.Template.Spec.ServiceAccountName; name != "" && name != file["ServiceAccount"].Metadata.Name {
				t.Errorf("%s: there is no ServiceAccount %s", kind, name)
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
}

// TestNothingIsInsecure: every setting that allows plain text beyond the machine has the
// word insecure in its name.
func TestNothingIsInsecure(t *testing.T) {
	for _, dir := range []string{"kubernetes", "systemd"} {
		files, err := os.ReadDir(filepath.Join(root, dir))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if text := read(t, filepath.Join(dir, f.Name())); strings.Contains(strings.ToLower(text), "insecure") {
				t.Errorf("%s/%s: is insecure", dir, f.Name())
			}
		}
	}
}
