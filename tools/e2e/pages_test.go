package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// pages is a site whose pages are signed all the time, and judged by WeChat.
type pages struct {
	edge, sim string // addresses
	appid     string // of the account, "" where there is only one

	mu      sync.Mutex
	signed  int
	wrong   []string
	expired int // pages that the edge refused because its ticket had expired, or that were judged after that
	// lives is when the ticket that signs expires, as WeChat said last.
	lives time.Time
}

// verdict matches what WeChat says of a signature that it accepts.
var verdict = regexp.MustCompile(`"accepted":true.* lives (\d+s) more`)

// accepted asks WeChat whether it accepts a signature, and for how long it will. The error
// says why it does not.
func accepted(ctx context.Context, simAddress string, s signature) (time.Duration, error) {
	question := url.Values{
		"appid": {s.AppID}, "noncestr": {s.NonceStr}, "timestamp": {fmt.Sprint(s.Timestamp)},
		"url": {s.URL}, "signature": {s.Signature},
	}
	_, answer, err := get(ctx, "http://"+simAddress+"/sim/verify?"+question.Encode())
	if err != nil {
		return 0, err
	}
	lives := verdict.FindSubmatch(answer)
	if lives == nil {
		return 0, fmt.Errorf("WeChat says %s", answer)
	}
	return time.ParseDuration(string(lives[1]))
}

// sign asks the edge for one signature and WeChat for its verdict.
func (p *pages) sign(ctx context.Context) {
	p.mu.Lock()
	lives := p.lives
	p.mu.Unlock()
	wrong, expired := "", 0
	status, body, err := get(ctx, "http://"+p.edge+"/v1/jsapi/config?url="+url.QueryEscape(pageURL)+"&appid="+p.appid)
	var s signature
	switch {
	case ctx.Err() != nil:
		return
	case err != nil:
		wrong = err.Error()
	case status == http.StatusServiceUnavailable && json.Unmarshal(body, &s) == nil && s.ErrCode != 0 &&
		!lives.IsZero() && time.Now().After(lives):
		expired = 1 // to sign would be wrong
	case status != http.StatusOK || json.Unmarshal(body, &s) != nil:
		wrong = fmt.Sprintf("the edge answered %d %s", status, body)
	default:
		rest, err := accepted(ctx, p.sim, s)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && strings.Contains(err.Error(), "expired 0s ago"):
			expired = 1 // it was alive when the edge signed
		case err != nil:
			wrong = err.Error()
		default:
			lives = time.Now().Add(rest)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.signed++
	p.expired += expired
	if lives.After(p.lives) {
		p.lives = lives
	}
	if wrong != "" {
		p.wrong = append(p.wrong, wrong)
	}
}

// more waits until n more pages were signed.
func (p *pages) more(ctx context.Context, n int) {
	count := func() int {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.signed
	}
	for target := count() + n; count() < target && ctx.Err() == nil; {
		p.sign(ctx) // signs one more itself, which paces the wait
	}
}

// open lets so many visitors have pages signed, until closed is called.
func (p *pages) open(ctx context.Context, visitors int) (closed func()) {
	ctx, cancel := context.WithCancel(ctx)
	var signing sync.WaitGroup
	for range visitors {
		signing.Go(func() {
			pace := time.NewTicker(time.Millisecond)
			defer pace.Stop()
			for ctx.Err() == nil {
				p.sign(ctx)
				<-pace.C // the other processes want to run too
			}
		})
	}
	return func() {
		cancel()
		signing.Wait()
	}
}

// judge fails the test if a signature was wrong, or if the edge refused one without need.
func (p *pages) judge(t *testing.T) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.wrong) > 0 {
		t.Errorf("%d of %d signatures were wrong, the first: %s", len(p.wrong), p.signed, p.wrong[0])
	}
	if accepted := p.signed - p.expired - len(p.wrong); accepted == 0 {
		t.Errorf("none of %d signatures was accepted", p.signed)
	}
	t.Logf("%d signatures, %d refused because the ticket had expired", p.signed, p.expired)
}

// count returns how often WeChat was called.
func count(t *testing.T, simAddress, appid, api string) int {
	t.Helper()
	_, body, err := get(t.Context(), "http://"+simAddress+"/sim/state?appid="+appid)
	if err != nil {
		t.Fatal(err)
	}
	var state struct {
		Calls []struct {
			API   string
			Count int
		}
	}
	if err := json.Unmarshal(body, &state); err != nil {
		t.Fatalf("the simulator's state %s: %v", body, err)
	}
	n := 0
	for _, c := range state.Calls {
		if c.API == api {
			n += c.Count
		}
	}
	return n
}
