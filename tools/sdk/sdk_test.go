package sdk

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	// Imported so that go test does not reuse the result of a run with older programs.
	_ "github.com/wxbroker/wxbroker/broker/brokertest"
	_ "github.com/wxbroker/wxbroker/edge/edgetest"
	_ "github.com/wxbroker/wxbroker/pkg/wechatsim"
	"github.com/wxbroker/wxbroker/tools/internal/programs"
)

var (
	// bin is where TestMain builds the programs.
	bin string
	// missing says why these tests cannot run, nil if they can.
	missing error
)

func TestMain(m *testing.M) {
	os.Exit(func() int {
		if missing = installed(); missing != nil {
			if os.Getenv("WXBROKER_SDK") == "1" {
				fmt.Fprintln(os.Stderr, missing)
				return 1
			}
			return m.Run()
		}
		return programs.Run(m, &bin)
	}())
}

// manifest has the fields of package.json and package-lock.json that matter here.
type manifest struct {
	Version      string
	Dependencies map[string]string
	Packages     map[string]struct{ Version, Resolved, Integrity string }
}

func readManifest(path string) (m manifest, err error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return manifest{}, err
	}
	err = json.Unmarshal(content, &m)
	return m, err
}

// installed says why the SDKs cannot be run.
func installed() error {
	if _, err := exec.LookPath("node"); err != nil {
		return errors.New("there is no node: install Node.js and npm, then run `make sdk`")
	}
	wanted, err := readManifest("package.json")
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(wanted.Dependencies)) {
		has, err := readManifest(filepath.Join("node_modules", name, "package.json"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if version := wanted.Dependencies[name]; has.Version != version {
			return fmt.Errorf("%s %s is not installed: run `make sdk`", name, version)
		}
	}
	return nil
}

func need(t *testing.T) {
	t.Helper()
	if missing != nil {
		t.Skip(missing)
	}
}

// TestLockFile: whoever installs these packages gets the versions that were tried, from
// any registry.
func TestLockFile(t *testing.T) {
	wanted, err := readManifest("package.json")
	must(t, err)
	locked, err := readManifest("package-lock.json")
	must(t, err)
	for _, s := range sdks {
		version := wanted.Dependencies[s.name]
		if has := locked.Packages["node_modules/"+s.name].Version; version == "" || has != version {
			t.Errorf("%s: package.json says %q, and the lock file %q", s.name, version, has)
		}
	}
	for name, p := range locked.Packages {
		if name != "" && (p.Integrity == "" || p.Resolved != "") {
			t.Errorf("%s: integrity %q, resolved %q: want a hash and no address", name, p.Integrity, p.Resolved)
		}
	}
}

// TestWeChatItself shows that the drivers use their SDKs correctly: there is neither
// broker nor edge.
func TestWeChatItself(t *testing.T) {
	need(t)
	w := newWorld(t)
	w.direct(t)
	w.everyStep(t)
}

// TestSharedToken: with the grant token an SDK gets WeChat's own token.
func TestSharedToken(t *testing.T) {
	need(t)
	w := newWorld(t)
	w.behindEdge(t, "sign", "token", "template", "media", "oauth", "call")
	drivers := w.everyStep(t)
	token := w.token(t)
	for _, d := range drivers {
		if got := d.about(t, "token"); got.SHA256 != hashOf(token) {
			t.Errorf("%s was given %+v, which is not the account's token", d.name, got)
		}
	}
	w.forceNothing(t, drivers)
	w.killToken(t, drivers)
	w.restart(t, drivers, func() { w.startBroker(t, w.grpc) })
	w.leaksNothing(t, drivers, token)
}

// TestAlias: without that grant an SDK works as well, and never has the token.
func TestAlias(t *testing.T) {
	need(t)
	w := newWorld(t)
	w.behindEdge(t, "sign", "call", "oauth")
	drivers := w.everyStep(t)
	token := w.token(t)
	for _, d := range drivers {
		if got := d.about(t, "token"); !got.Alias {
			t.Errorf("%s was given %+v, which is no alias", d.name, got)
		}
	}
	w.forceNothing(t, drivers)
	w.killToken(t, drivers)
	w.restart(t, drivers, func() {
		w.startBroker(t, w.grpc)
		w.startEdge(t, w.host) // a new edge knows the aliases without a list of them
	})
	for _, given := range w.leaksNothing(t, drivers, token) {
		t.Error(given)
	}
}
