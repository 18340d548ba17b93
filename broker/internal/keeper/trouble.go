package keeper

import (
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

// trouble is a row of failed calls for one kind. The zero value means that there is
// none.
type trouble struct {
	last  *wechat.Error
	held  *wechat.Error // why the budget held back the last call that was due, nil if it did not
	since time.Time     // of the first failure, by the wall clock
	count int           // failures in a row
	run   int           // failures in a row of last's class
	retry credential.Instant
}

// is reports whether there is trouble and its last failure is of that class.
func (t *trouble) is(class wxapi.Class) bool { return t.last != nil && t.last.Class == class }

// lasts reports whether WeChat said how long to wait. A restart must not end such a
// wait. It ends the other waits, as a person expects who has removed their cause.
func (t *trouble) lasts() bool { return t.is(wxapi.Approval) || t.is(wxapi.Quota) }

// visible returns the error that an operator sees, nil without trouble.
func (t *trouble) visible() *wechat.Error {
	if t.held != nil {
		return t.held
	}
	return t.last
}

// add notes a failure at now and returns how long to wait.
func (t *trouble) add(e *wechat.Error, now credential.Instant, c chance) time.Duration {
	if t.visible() == nil {
		t.since = now.Wall()
	}
	if e.Class == wxapi.Budget {
		t.held = e
		t.retry = now.Add(e.Wait)
		return e.Wait
	}
	t.held = nil
	if t.last == nil || t.last.Class != e.Class {
		t.run = 0
	}
	t.last = e
	t.count++
	t.run++
	wait := backoff(e, t.run, now.Wall(), c)
	t.retry = now.Add(wait)
	return wait
}

// backoff returns how long to wait after the run-th failure in a row of e's
// class.
func backoff(e *wechat.Error, run int, wall time.Time, c chance) time.Duration {
	switch e.Class {
	case wxapi.Rate:
		return time.Minute + transientWait(run, c)
	case wxapi.Quota:
		// Hourly, in case somebody clears it, and when the new day begins.
		return min(time.Hour, resetTime(e.API, wall).Sub(wall)) + c.of(time.Second)
	case wxapi.Approval:
		if e.Wait > 0 {
			return e.Wait
		}
		return doubled(time.Minute, run, 10*time.Minute)
	case wxapi.Configuration, wxapi.Address, wxapi.RefusedToken:
		return doubled(time.Minute, run, 10*time.Minute)
	case wxapi.Budget:
		return e.Wait
	case wxapi.Transient:
	}
	return transientWait(run, c)
}

// transientWait returns 1 s, doubled with every failure up to 60 s, with full
// jitter. It is never below 100 ms.
func transientWait(run int, c chance) time.Duration {
	longest := doubled(time.Second, run, time.Minute)
	const shortest = 100 * time.Millisecond
	return shortest + c.of(longest-shortest)
}

// doubled returns first, doubled for every run after the first, at most limit.
func doubled(first time.Duration, run int, limit time.Duration) time.Duration {
	for range run - 1 {
		if first >= limit {
			break
		}
		first *= 2
	}
	return min(first, limit)
}
