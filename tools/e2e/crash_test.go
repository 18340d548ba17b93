package e2e

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

var seed = flag.Uint64("seed", 0, "repeat TestKilledAtRandomMoments with the moments that it logged under this seed")

// TestKilledAtRandomMoments kills a broker that writes all the time, at random moments
// from the start of its process on. However often that happens, it starts again by
// itself and its database is sound. It asks WeChat for nothing that it has stored, and
// WeChat accepts what edges sign.
func TestKilledAtRandomMoments(t *testing.T) {
	t.Parallel() // it mostly waits
	const (
		kills    = 40
		latest   = 250 * time.Millisecond
		accounts = 40 // so that there is a write under way at many moments
		// A token of two seconds is due a second after it was fetched, a ticket
		// of six after three. Both are then in the part of their life in which
		// WeChat hands out the next one.
		tokenGap = time.Second
	)
	seed := *seed
	if seed == 0 {
		seed = rand.Uint64() //nolint:gosec // picks moments, guards nothing
	}
	t.Logf("-seed=%d", seed)
	random := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // can be repeated

	var further, simAccounts []string
	for i := range accounts - 1 {
		further = append(further, fmt.Sprintf("wx%016x", i))
		simAccounts = append(simAccounts, "--account", further[i]+":"+secret)
	}
	sim := start(t, "wxsim", append(simAccounts, "--listen", "127.0.0.1:0", "--appid", appid, "--secret", secret,
		"--token-lifetime", "2s", "--stable-window", "1500ms", "--ticket-lifetime", "6s", "--ticket-overlap", "5s")...)
	simAddress := sim.says(t, `addr=(\S+)`)[1]
	dir, began := t.TempDir(), time.Now()
	broker := start(t, "wxbroker", "serve", "--config", configure(t, dir, simAddress, "127.0.0.1:0", further...))
	address := broker.says(t, `"broker is up" grpc=(\S+)`)[1]
	edge := start(t, "wxedge", "serve", "--broker", address, "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "--appid", appid)
	site := &pages{edge: edge.says(t, `"edge is up" listen=(\S+)`)[1], sim: simAddress}
	edge.says(t, `holding .*kind=jsapi_ticket`)
	stopSigning := site.open(t.Context(), 1)
	broker.end(os.Kill)
	said := broker.said
	config := configure(t, dir, simAddress, address, further...) // no broker runs that would read this at once

	for range kills {
		// A start takes a few milliseconds, so early moments are more likely.
		late := random.Float64()
		moment := time.Duration(late * late * late * float64(latest))
		broker = start(t, "wxbroker", "serve", "--config", config)
		<-time.After(moment)
		broker.end(os.Kill)
		said = append(said, broker.said...)
		if code := broker.command.ProcessState.ExitCode(); code != -1 {
			t.Fatalf("a broker ended with %d before it was killed after %v: %s", code, moment, strings.Join(broker.said, "\n"))
		}
	}
	last := time.Now().UnixMilli()
	broker = start(t, "wxbroker", "serve", "--config", config)
	broker.says(t, `"broker is up"`)
	for version := int64(0); version <= last; { // a version is when it was minted
		version, _ = strconv.ParseInt(edge.says(t, `holding .*kind=jsapi_ticket version=(\d+)`)[1], 10, 64)
	}
	site.more(t.Context(), 50)
	stopSigning()
	site.judge(t)
	broker.end(os.Interrupt)
	if code := broker.command.ProcessState.ExitCode(); code != 0 {
		t.Errorf("the broker ended with %d on SIGINT", code)
	}
	log := strings.Join(append(said, broker.said...), "\n")
	if faults := regexp.MustCompile(`(?m)^.*(damaged|msg="cannot|panic).*$`).FindString(log); faults != "" {
		t.Errorf("a kill did harm: %s", faults)
	}
	if aside, err := filepath.Glob(filepath.Join(dir, "*.damaged-*")); err != nil || len(aside) > 0 {
		t.Errorf("kills made damaged databases: %v %v", aside, err)
	}

	// A value that was stored is not fetched again before it is due. A broker loses at
	// most one value that it did not store: that of its last call.
	due, lost := 1+int(time.Since(began)/tokenGap), 0
	for _, id := range append(further, appid) {
		kept := len(regexp.MustCompile(`msg=rotated appid=`+id+` kind=access_token`).FindAllString(log, -1))
		calls := count(t, simAddress, id, "/cgi-bin/stable_token")
		if kept > due || calls > kept+kills+1 {
			t.Errorf("%s: %d token calls gave %d tokens, of which %d can have been due", id, calls, kept, due)
		}
		lost += calls - kept
	}
	t.Logf("%d kills lost %d tokens of %d accounts", kills, lost, accounts)
}
