package wechat

import (
	"net/url"
	"sync"
	"time"

	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

// preferAfter is how long another upstream is used before the first is tried
// again.
const preferAfter = 5 * time.Minute

// Upstream is one of WeChat's hosts as an operator sees it.
type Upstream struct {
	Host  string
	InUse bool // the next call goes there
	// Failure is how the last call there failed, nil when it did not; Failed is
	// when that was.
	Failure *Error
	Failed  time.Time
}

// upstreams remembers which host is in use. All accounts share it: what one
// learns of a host, the others need not find out.
type upstreams struct {
	hosts []*url.URL

	mu      sync.Mutex
	current int
	left    time.Time // when the first host was left
	seen    []Upstream
}

func newUpstreams(hosts []*url.URL) *upstreams {
	u := &upstreams{hosts: hosts}
	for _, host := range hosts {
		u.seen = append(u.seen, Upstream{Host: host.Host})
	}
	return u
}

// pick returns the host to ask.
func (u *upstreams) pick(now time.Time) *url.URL {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.prefer(now)
	return u.hosts[u.current]
}

// prefer goes back to the first host when its time has come; the caller holds
// the lock.
func (u *upstreams) prefer(now time.Time) {
	if u.current != 0 && now.Sub(u.left) >= preferAfter {
		u.current = 0
	}
}

// called notes what came of a call, and moves on from a host that failed unless
// somebody already did. A refusal is no failure of the host.
func (u *upstreams) called(host *url.URL, failure *Error, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	failed := failure != nil && failure.Class == wxapi.Transient
	for i := range u.hosts {
		if u.hosts[i] != host {
			continue
		}
		u.seen[i].Failure, u.seen[i].Failed = nil, time.Time{}
		if failed {
			u.seen[i].Failure, u.seen[i].Failed = failure, now
		}
	}
	if !failed || u.hosts[u.current] != host {
		return
	}
	if u.current == 0 {
		u.left = now
	}
	u.current = (u.current + 1) % len(u.hosts)
}

func (u *upstreams) list(now time.Time) []Upstream {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.prefer(now)
	list := append([]Upstream(nil), u.seen...)
	list[u.current].InUse = true
	return list
}
