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
	// Failure is how the last call to the host failed, nil when it did not. Failed
	// is when it failed.
	Failure *Error
	Failed  time.Time
}

// upstreams remembers which host is in use. All accounts share it, so that a host's
// failure in one account's call spares the others the same failure.
type upstreams struct {
	hosts []*url.URL

	mu       sync.Mutex
	current  int       // the index of the host in use
	left     time.Time // when the first host was last left for another
	outcomes []Upstream
}

func newUpstreams(hosts []*url.URL) *upstreams {
	u := &upstreams{hosts: hosts}
	for _, host := range hosts {
		u.outcomes = append(u.outcomes, Upstream{Host: host.Host})
	}
	return u
}

// pick returns the host to call.
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

// called notes the outcome of a call. It moves on from a host that failed, unless
// another call has already done so. A refusal is not a failure of the host.
func (u *upstreams) called(host *url.URL, failure *Error, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	failed := failure != nil && failure.Class == wxapi.Transient
	for i := range u.hosts {
		if u.hosts[i] != host {
			continue
		}
		u.outcomes[i].Failure, u.outcomes[i].Failed = nil, time.Time{}
		if failed {
			u.outcomes[i].Failure, u.outcomes[i].Failed = failure, now
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
	list := append([]Upstream(nil), u.outcomes...)
	list[u.current].InUse = true
	return list
}
