package wechat

import (
	"net/url"
	"sync"
	"time"
)

// preferAfter is how long another upstream is used before the first is tried
// again.
const preferAfter = 5 * time.Minute

// upstreams remembers which host is in use. All accounts share it: what one
// learns of a host, the others need not find out.
type upstreams struct {
	hosts []*url.URL

	mu      sync.Mutex
	current int
	left    time.Time // when the first host was left
}

func newUpstreams(hosts []*url.URL) *upstreams { return &upstreams{hosts: hosts} }

// pick returns the host to ask.
func (u *upstreams) pick(now time.Time) *url.URL {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.current != 0 && now.Sub(u.left) >= preferAfter {
		u.current = 0
	}
	return u.hosts[u.current]
}

// leave moves on from a host that failed, unless somebody already did.
func (u *upstreams) leave(failed *url.URL, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.hosts[u.current] != failed {
		return
	}
	if u.current == 0 {
		u.left = now
	}
	u.current = (u.current + 1) % len(u.hosts)
}
