package deploy

import (
	"crypto/x509"
	"encoding/pem"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/wxbroker/wxbroker/pkg/tlsfile"
)

// blocks returns the README's fenced blocks of a language that contain a word.
func blocks(t *testing.T, language, word string) []string {
	t.Helper()
	var found []string
	for _, part := range strings.Split(read(t, "README.md"), "\n```"+language+"\n")[1:] {
		if block, _, ok := strings.Cut(part, "\n```\n"); ok && strings.Contains(block, word) {
			found = append(found, block)
		}
	}
	if len(found) == 0 {
		t.Fatalf("the README has no block of %s with %q", language, word)
	}
	return found
}

var (
	createForm = regexp.MustCompile(`create (secret generic|configmap) (\S+)((?: +--from-file=\S+)+)`)
	fromForm   = regexp.MustCompile(`--from-file=([^\s=]+)`)
)

// created returns the objects that the README tells people to create, as Kind/name/key.
func created(t *testing.T) []string {
	t.Helper()
	var objects []string
	for _, block := range blocks(t, "sh", " create ") {
		block = strings.ReplaceAll(block, "\\\n", "")
		for _, m := range createForm.FindAllStringSubmatch(block, -1) {
			kind := map[string]string{"secret generic": "Secret", "configmap": "ConfigMap"}[m[1]]
			for _, from := range fromForm.FindAllStringSubmatch(m[3], -1) {
				objects = append(objects, kind+"/"+m[2]+"/"+from[1])
			}
		}
	}
	return objects
}

// managedNames returns the names in the certificate that cert-manager makes.
func managedNames(t *testing.T) []string {
	t.Helper()
	decoder := yaml.NewDecoder(strings.NewReader(blocks(t, "yaml", "cert-manager.io")[0]))
	for {
		var object struct {
			Spec struct {
				SecretName string   `yaml:"secretName"`
				DNSNames   []string `yaml:"dnsNames"`
			}
		}
		if err := decoder.Decode(&object); err != nil {
			t.Fatalf("the README has no Certificate for the Secret wxbroker-tls: %v", err)
		}
		if object.Spec.SecretName == "wxbroker-tls" {
			return object.Spec.DNSNames
		}
	}
}

// recipe returns the README's recipe for a certificate.
func recipe(t *testing.T) string {
	t.Helper()
	return blocks(t, "sh", "openssl req")[0]
}

// recipeNames returns the names in the recipe.
func recipeNames(t *testing.T) (names []string, addresses []net.IP) {
	t.Helper()
	line := regexp.MustCompile(`(?m)^names=(.*)$`).FindStringSubmatch(recipe(t))
	if line == nil {
		t.Fatal("the README's recipe sets no names")
	}
	for name := range strings.SplitSeq(line[1], ",") {
		kind, name, _ := strings.Cut(name, ":")
		if kind == "DNS" {
			names = append(names, name)
		} else {
			addresses = append(addresses, net.ParseIP(name))
		}
	}
	return names, addresses
}

func TestRecipeForACertificate(t *testing.T) {
	names, addresses := recipeNames(t)
	if managed := managedNames(t); !slices.Equal(names, managed) {
		t.Errorf("the recipe is for %v, the one with cert-manager for %v", names, managed)
	}
	for _, tool := range []string{"bash", "openssl"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatalf("%s is missing, and CI must have it", tool)
			}
			t.Skip("without " + tool + " it cannot be tried")
		}
	}
	dir := t.TempDir()
	command := exec.CommandContext(t.Context(), "bash", "-euc", recipe(t))
	command.Dir = dir
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	files := tlsfile.Files{Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key"), CA: filepath.Join(dir, "ca.crt")}
	if _, warnings, err := tlsfile.Load(t.Context(), files); err != nil || len(warnings) > 0 {
		t.Fatalf("what it makes cannot be used well: %v %v", err, warnings)
	}
	roots, leaf := x509.NewCertPool(), certificate(t, files.Cert)
	roots.AddCert(certificate(t, files.CA))
	for _, name := range names {
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name}); err != nil {
			t.Error(err)
		}
	}
	for _, address := range addresses {
		if err := leaf.VerifyHostname(address.String()); err != nil {
			t.Error(err)
		}
	}
}

func certificate(t *testing.T, path string) *x509.Certificate {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		t.Fatalf("%s is not PEM", path)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}
