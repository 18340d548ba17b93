package e2e

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wxbroker/wxbroker/edge/edgetest"
)

// damage is a damaged database.
type damage struct {
	name  string
	raw   []byte
	short bool // so much is missing that it cannot be used
	bit   bool // all that is wrong is one bit of a value
}

// damages truncates a database at every page and damages every page of it.
func damages(raw []byte) []damage {
	page := os.Getpagesize()
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a fixed seed: the same damage every time
	var all []damage
	for at := 0; at <= len(raw); at += page {
		// An empty file is a new database, and the last pages may not be in use.
		short := at > 0 && at < len(raw)/4
		all = append(all, damage{name: fmt.Sprintf("truncated to %d pages", at/page), raw: raw[:at], short: short})
	}
	for at := 0; at < len(raw); at += page {
		zeroed := bytes.Clone(raw)
		clear(zeroed[at : at+page])
		all = append(all, damage{name: fmt.Sprintf("page %d zeroed", at/page), raw: zeroed})
		for try := range 3 {
			flipped := bytes.Clone(raw)
			for range 64 {
				flipped[at+random.IntN(page)] ^= byte(1 + random.IntN(255))
			}
			all = append(all, damage{name: fmt.Sprintf("64 bytes of page %d flipped, %d", at/page, try), raw: flipped})
		}
	}
	// One bit of a value, so that its record stays well-formed. This damage is the hardest
	// to see.
	for at := 0; ; {
		next := bytes.Index(raw[at:], []byte(`{"value":"`))
		if next < 0 {
			return all
		}
		at += next + len(`{"value":"`)
		turned := bytes.Clone(raw)
		turned[at+20] ^= 1
		all = append(all, damage{name: fmt.Sprintf("one bit of the value at %d turned", at), raw: turned, bit: true})
	}
}

// TestDamagedDatabases: the database is damaged while no broker runs. The broker starts by
// itself and serves, with the values that it had or with those that it fetches, in at
// most one token call. The start after that costs none.
func TestDamagedDatabases(t *testing.T) {
	sim := start(t, "wxsim", "--listen", "127.0.0.1:0", "--appid", appid, "--secret", secret)
	simAddress := sim.says(t, `addr=(\S+)`)[1]
	dir := t.TempDir()
	config, database := configure(t, dir, simAddress, "127.0.0.1:0"), filepath.Join(dir, "wxbroker.db")
	for range 3 { // each start writes, and leaves pages free
		broker := start(t, "wxbroker", "serve", "--config", config)
		serves(t, broker, simAddress)
		broker.end(os.Kill)
	}
	raw, err := os.ReadFile(database)
	if err != nil {
		t.Fatal(err)
	}
	set := map[bool]int{} // databases set aside, by whether all that is wrong is one bit
	for _, d := range damages(raw) {
		t.Run(d.name, func(t *testing.T) {
			if err := os.WriteFile(database, d.raw, 0o600); err != nil {
				t.Fatal(err)
			}
			for _, when := range []struct {
				name  string
				calls int
			}{{"damaged", 1}, {"on what that left", 0}} {
				before := count(t, simAddress, appid, "/cgi-bin/stable_token")
				broker := start(t, "wxbroker", "serve", "--config", config)
				metrics := serves(t, broker, simAddress)
				broker.end(syscall.SIGTERM)
				said := strings.Join(broker.said, "\n")
				if code := broker.command.ProcessState.ExitCode(); code != 0 {
					t.Errorf("%s: it ended with %d on SIGTERM: %s", when.name, code, said)
				}
				if calls := count(t, simAddress, appid, "/cgi-bin/stable_token") - before; calls > when.calls {
					t.Errorf("%s: %d token calls: %s", when.name, calls, said)
				}
				aside := strings.Contains(said, "damaged and is set aside")
				if aside != strings.Contains(metrics, "wxbroker_database_set_aside 1\n") {
					t.Errorf("%s: set aside %v, and the metrics say otherwise", when.name, aside)
				}
				switch {
				case aside && when.calls == 0:
					t.Errorf("%s: set aside again: %s", when.name, said)
				case aside:
					set[d.bit]++
					if !strings.Contains(metrics, `wxbroker_budget_used{api="ticket",appid="`+appid+`"} 1001`) {
						t.Errorf("%s: set aside, and half a day's calls do not count as spent", when.name)
					}
				case d.short && when.calls > 0:
					t.Errorf("%s: not set aside", when.name)
				}
			}
		})
	}
	t.Logf("%d pages, %d databases set aside, and %d for one bit", len(raw)/os.Getpagesize(), set[false], set[true])
	if set[true] == 0 {
		t.Error("no database was set aside for a bit that turned in one of its values")
	}
}

// serves waits until a broker is up and its edge signs what WeChat accepts. It returns
// the broker's metrics.
func serves(t *testing.T, broker *process, simAddress string) (metrics string) {
	t.Helper()
	addresses := broker.says(t, `"broker is up" grpc=(\S+) ops=(\S+)`)
	if status, body, err := get(t.Context(), "http://"+addresses[2]+"/readyz"); status != http.StatusOK {
		t.Fatalf("the broker is up and not ready: %d %s %v", status, body, err)
	}
	e := edgetest.Start(t, edgetest.Config{
		Name: "edge", Clock: time.Now, Log: quiet,
		Dial: func(ctx context.Context) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", addresses[1])
		},
	})
	defer e.Stop()
	patience := time.After(20 * time.Second)
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for e.Ready() != nil {
		select {
		case <-poll.C:
		case <-patience:
			t.Fatalf("an edge of the broker is not ready: %v", e.Ready())
		}
	}
	if _, err := accepted(t.Context(), simAddress, sign(t, e)); err != nil {
		t.Errorf("the edge signed and WeChat does not accept it: %v", err)
	}
	_, body, err := get(t.Context(), "http://"+addresses[2]+"/metrics")
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
