package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

// callWorld has the real programs, with an edge that passes on calls, on one machine and
// in plain text.
type callWorld struct {
	sim, broker, edge *process
	wechat, listen    string // addresses
	client            *http.Client
}

const callingKey = "0123456789-local-key"

func startCalling(t *testing.T) *callWorld {
	t.Helper()
	dir := t.TempDir()
	c := &callWorld{client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 300}}}
	t.Cleanup(c.client.CloseIdleConnections)
	c.sim = start(t, "wxsim", "--listen", "127.0.0.1:0", "--appid", appid, "--secret", secret)
	c.wechat = c.sim.says(t, `addr=(\S+)`)[1]
	c.broker = start(t, "wxbroker", "serve", "--config", configure(t, dir, c.wechat, "127.0.0.1:0"))
	grpc := c.broker.says(t, `"broker is up" grpc=(\S+)`)[1]
	keys := filepath.Join(dir, "keys")
	must(t, os.WriteFile(keys, []byte("shop "+callingKey+"\n"), 0o600))
	c.edge = start(t, "wxedge", "serve", "--broker", grpc, "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "--local-key-file", keys)
	c.listen = c.edge.says(t, `"edge is up" listen=(\S+)`)[1]
	c.edge.says(t, `holding .*kind=jsapi_ticket`)
	return c
}

// do asks the edge with the local key.
func (c *callWorld) do(ctx context.Context, method, path, body string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://"+c.listen+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+callingKey)
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	return c.client.Do(request)
}

// control makes one of the simulator's control calls.
func (c *callWorld) control(t *testing.T, path, body string) []byte {
	t.Helper()
	return control(t, c.wechat, path, body)
}

// calls returns how often WeChat was asked for something, by API and outcome.
func (c *callWorld) calls(t *testing.T) map[string]int {
	t.Helper()
	var counters []struct {
		API, Outcome string
		Count        int
	}
	must(t, json.Unmarshal([]byte(simCalls(t, c.wechat)), &counters))
	counts := make(map[string]int)
	for _, n := range counters {
		counts[n.API] += n.Count
		counts[n.API+" "+n.Outcome] += n.Count
	}
	return counts
}

// TestMessagesOverADeadToken: two hundred messages at once with a token that
// WeChat has just killed are all sent, and the token is renewed once.
func TestMessagesOverADeadToken(t *testing.T) {
	c := startCalling(t)
	before := c.calls(t)
	c.control(t, "/sim/kill-token", `{"appid":"`+appid+`","api":"stable"}`)
	ids := make(chan string, 200)
	var sending sync.WaitGroup
	for i := range 200 {
		sending.Go(func() {
			response, err := c.do(t.Context(), http.MethodPost, "/v1/template/send",
				fmt.Sprintf(`{"touser":"o%d","template_id":"t1","data":{"first":{"value":"<%d> & more"}}}`, i, i))
			if err != nil {
				t.Error(err)
				return
			}
			defer response.Body.Close()
			var answer struct {
				ID     string `json:"msgid"`
				ErrMsg string `json:"errmsg"`
			}
			if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || response.StatusCode != http.StatusOK {
				t.Errorf("message %d: HTTP %d, %s %v", i, response.StatusCode, answer.ErrMsg, err)
			}
			ids <- answer.ID
		})
	}
	sending.Wait()
	close(ids)
	sent := map[string]bool{}
	for id := range ids {
		if number, err := strconv.ParseInt(id, 10, 64); err != nil || number < 1<<53 {
			t.Errorf("msgid %q", id)
		}
		sent[id] = true
	}
	if len(sent) != 200 {
		t.Errorf("%d different messages were sent", len(sent))
	}
	_, raw, err := get(t.Context(), "http://"+c.wechat+"/sim/messages?appid="+appid)
	must(t, err)
	var arrived []wechatsim.Message
	must(t, json.Unmarshal(raw, &arrived))
	for _, m := range arrived {
		if !sent[strconv.FormatInt(m.ID, 10)] || m.Data["first"].Value != "<"+m.ToUser[1:]+"> & more" {
			t.Errorf("WeChat has %+v", m)
		}
	}
	after := c.calls(t)
	const token, probe = "/cgi-bin/stable_token", "/cgi-bin/get_api_domain_ip"
	if n := after[token] - before[token]; n != 1 || len(arrived) != 200 || after[probe] != 1 {
		t.Errorf("%d refreshes, %d probes, %d messages arrived", n, after[probe], len(arrived))
	}
	t.Logf("200 messages sent, %d of them twice, %d refresh, %d probe", after["/cgi-bin/message/template/send 40001"], after[token]-before[token], after[probe])
}

// liveHeap finds the heap that remains after a collection, in MB, in what
// GODEBUG=gctrace=1 prints: gc 4 @0.1s 2%: …, 4->4->1 MB, 4 MB goal, ….
var liveHeap = regexp.MustCompile(`^gc \d+ @.*->(\d+) MB, `)

// live returns the largest heap in the program's log, in MB, from line number from on,
// and the number of lines in the log.
func (p *process) live(from int) (most, end int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, line := range p.said[from:] {
		if m := liveHeap.FindStringSubmatch(line); m != nil {
			mb, _ := strconv.Atoi(m[1])
			most = max(most, mb)
		}
	}
	return most, len(p.said)
}

// TestLargeMedia: ten files of 100 MB at once take no more than 4 MB of live heap each, at
// the edge and at the broker. A client that has stopped reading holds up none of them.
func TestLargeMedia(t *testing.T) {
	t.Setenv("GODEBUG", "gctrace=1")
	c := startCalling(t)
	const size, transfers, bound = 100_000_000, 10, 4
	var media struct {
		ID string `json:"media_id"`
	}
	must(t, json.Unmarshal(c.control(t, "/sim/media", fmt.Sprintf(`{"appid":%q,"type":"image","file_name":"large.jpg","size":%d}`, appid, size)), &media))
	want := sha256.New()
	_, err := io.Copy(want, wechatsim.Generated(media.ID, size))
	must(t, err)

	stalled, err := c.do(t.Context(), http.MethodGet, "/v1/media/"+media.ID, "")
	must(t, err)
	defer stalled.Body.Close()
	_, err = io.ReadFull(stalled.Body, make([]byte, 10))
	must(t, err)

	heaps := map[string]*process{"broker": c.broker, "edge": c.edge}
	idle, from := map[string]int{}, map[string]int{}
	for name, p := range heaps {
		idle[name], from[name] = p.live(0)
	}
	start := time.Now()
	var downloading sync.WaitGroup
	for range transfers {
		downloading.Go(func() {
			response, err := c.do(t.Context(), http.MethodGet, "/v1/media/"+media.ID, "")
			if err != nil {
				t.Error(err)
				return
			}
			defer response.Body.Close()
			got := sha256.New()
			n, err := io.Copy(got, response.Body)
			if err != nil || n != size || response.ContentLength != size || !bytes.Equal(got.Sum(nil), want.Sum(nil)) {
				t.Errorf("%d bytes, %v: HTTP %d, Content-Length %d", n, err, response.StatusCode, response.ContentLength)
			}
			if d := response.Header.Get("Content-Disposition"); !strings.Contains(d, "large.jpg") {
				t.Errorf("Content-Disposition %q", d)
			}
		})
	}
	downloading.Wait()
	for name, p := range heaps {
		live, _ := p.live(from[name])
		if live == 0 {
			t.Errorf("the %s never collected its garbage: nothing was measured", name)
		}
		if live-idle[name] > transfers*bound {
			t.Errorf("the %s needs %d MB for %d transfers", name, live-idle[name], transfers)
		}
		t.Logf("%s: %d MB live heap before, %d MB at most with %d transfers of %d MB", name, idle[name], live, transfers, size/1_000_000)
	}
	t.Logf("%d MB in %v", transfers*size/1_000_000, time.Since(start).Round(time.Millisecond))
}
