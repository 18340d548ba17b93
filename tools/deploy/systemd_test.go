package deploy

import (
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/wxbroker/wxbroker/pkg/tlstest"
)

// machine is as much of a machine with systemd as the units need.
type machine struct {
	etc   string            // its /etc/wxbroker
	ports map[string]string // of everything that runs
}

// settings returns the values of a unit's key, or of an environment file's.
func settings(t *testing.T, file, key string) []string {
	t.Helper()
	var values []string
	for line := range strings.Lines(read(t, "systemd/"+file)) {
		if value, ok := strings.CutPrefix(line, key+"="); ok {
			values = append(values, strings.TrimSuffix(value, "\n"))
		}
	}
	return values
}

// program returns the program that a unit starts. The credentials that the unit loads lie
// where the program looks for them.
func (m machine) program(t *testing.T, unit string) (program, relocation) {
	t.Helper()
	at := relocation{dirs: map[string]string{"/etc/wxbroker": m.etc, "/run/credentials/" + unit: t.TempDir()}, ports: m.ports}
	text := func(s string) string { return at.text(t, strings.ReplaceAll(s, "%d/", "/run/credentials/"+unit+"/")) }
	for _, credential := range settings(t, unit, "LoadCredential") {
		name, path, _ := strings.Cut(credential, ":")
		write(t, text("%d/"+name), contents(t, text(path)))
	}
	env := []string{}
	for _, variable := range settings(t, unit, "Environment") {
		env = append(env, text(variable))
	}
	for _, file := range settings(t, unit, "EnvironmentFile") {
		for line := range strings.Lines(contents(t, text(file))) {
			if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
				env = append(env, text(line))
			}
		}
	}
	words := strings.Fields(settings(t, unit, "ExecStart")[0])
	name, ok := strings.CutPrefix(words[0], "/usr/local/bin/")
	if !ok {
		t.Fatalf("%s starts %s", unit, words[0])
	}
	return program{name: name, args: at.texts(t, words[1:]), env: env, dir: t.TempDir()}, at
}

// token makes a token for an app. It puts the token's hash into the configuration, in the
// place of a hash that belongs to no token.
func (m machine) token(t *testing.T, app, file, nobodys string) {
	t.Helper()
	out, err := program{name: "wxbroker", args: []string{"token", "new", app, "--out", filepath.Join(m.etc, file)}}.run(t)
	hash := regexp.MustCompile(`sha256:[0-9a-f]{64}`).FindString(out)
	if err != nil || hash == "" {
		t.Fatalf("wxbroker token new: %v\n%s", err, out)
	}
	edit(t, filepath.Join(m.etc, "wxbroker.yaml"), func(config string) string {
		return strings.Replace(config, "sha256:"+strings.Repeat(nobodys, 64), hash, 1)
	})
}

// TestSystemd runs the programs that the units start, on one machine.
func TestSystemd(t *testing.T) {
	wechat := newWeChat(t)
	m := machine{etc: t.TempDir(), ports: map[string]string{}}
	config := filepath.Join(m.etc, "wxbroker.yaml")
	write(t, config, read(t, "systemd/wxbroker.yaml"))
	write(t, filepath.Join(m.etc, "wxedge.env"), read(t, "systemd/wxedge.env"))
	write(t, filepath.Join(m.etc, "appsecret"), appSecret+"\n")
	write(t, filepath.Join(m.etc, "database-key"), databaseKey)
	ca := tlstest.NewCA(t, "broker")
	ca.Write(t, m.etc)
	names, addresses := recipeNames(t)
	brokerCertificate(t, ca, names, addresses).Write(t, m.etc)
	m.token(t, "shop-web", "broker-token", "0")
	m.token(t, "operators", "operator-token", "1")

	broker, at := m.program(t, "wxbroker.service")
	edit(t, config, func(config string) string { return at.text(t, config) + wechat.upstreams() })
	running := broker.start(t)
	running.ready(t, m.ports["7601"])
	edge, _ := m.program(t, "wxedge.service")
	edge = edge.with("WXEDGE_BROKER=broker.example.com:", "WXEDGE_BROKER=127.0.0.1:")
	// The edge would verify the broker's certificate for the host that was replaced,
	// unless the example itself names another.
	edge.env = append([]string{"WXEDGE_SERVER_NAME=broker.example.com"}, edge.env...)
	signing := edge.start(t)
	signing.ready(t, m.ports["7611"])
	wechat.accepts(t, m.ports["7610"])
	if said := running.output.String(); strings.Contains(said, "level=WARN") || strings.Contains(said, "level=ERROR") {
		t.Error("the broker is not content with the example")
	}

	// As in the README, but with another port.
	command := regexp.MustCompile(`(?m)^sudo wxbroker (status .*)$`).FindStringSubmatch(read(t, "README.md"))
	if command == nil {
		t.Fatal("the README asks for no status")
	}
	status := program{name: "wxbroker", args: at.texts(t, strings.Fields(command[1])), env: []string{at.text(t, "WXBROKER_BROKER=127.0.0.1:7600")}}
	if out, err := status.run(t); err != nil || !strings.Contains(out, appid) || strings.Contains(out, "!") {
		t.Errorf("status: %v\n%s", err, out)
	}

	// When the unit is reloaded, what the configuration revokes ends.
	if reload := settings(t, "wxbroker.service", "ExecReload"); len(reload) != 1 || reload[0] != "/bin/kill -HUP $MAINPID" {
		t.Errorf("wxbroker.service reloads by %q", reload)
	}
	edit(t, config, func(config string) string { return strings.Replace(config, "grants: [sign]", "grants: [report]", 1) })
	if err := running.command.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	signing.await(t, "it has dropped what was revoked", func() bool {
		return readyz(t, m.ports["7611"]) == http.StatusServiceUnavailable
	})
}
